package decisionlog

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"
)

// followPause is how often a followed file is looked at.
const followPause = 200 * time.Millisecond

// Follow reads what Scan reads, calls caughtUp, and goes on with the lines that are
// added, through the log's turning over, until ctx ends or each returns an error. A
// line that is being written when it is caught up is read when it has its end.
func Follow(ctx context.Context, path string, each func(Line) error, caughtUp func() error) error {
	files, err := openAll(path, os.Open)
	if err != nil {
		return err
	}
	defer func() { closeAll(files) }()
	f := &follower{path: path, each: each}
	defer f.close()
	if last := len(files) - 1; files[last].Name() == path {
		f.f, files = files[last], files[:last]
		magic := make([]byte, len(gzipMagic))
		if _, err := f.f.ReadAt(magic, 0); err == nil && string(magic) == gzipMagic {
			return fmt.Errorf("%s is compressed: nothing is added to it that could be followed", path)
		}
	}
	for _, older := range files {
		if err := ScanReader(ctx, older.Name(), older, each); err != nil {
			return err
		}
	}
	if err := f.read(ctx); err != nil {
		return err
	}
	if err := caughtUp(); err != nil {
		return err
	}
	return f.run(ctx)
}

type follower struct {
	path string
	each func(Line) error
	f    *os.File // nil while the log is being turned over
	rest []byte   // of a line without its end
	long bool     // the line was longer than MaxLine: it is passed over up to its end
	n    int
}

func (f *follower) run(ctx context.Context) error {
	tick := time.NewTicker(followPause)
	defer tick.Stop()
	for {
		if f.turned() {
			if err := f.read(ctx); err != nil { // what came before it was turned over
				return err
			}
			if err := f.cutOff(); err != nil {
				return err
			}
			if err := f.open(); err != nil {
				return err
			}
		}
		if err := f.read(ctx); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}

// cutOff says that the last line got no end: its writer was killed.
func (f *follower) cutOff() error {
	if len(f.rest) == 0 && !f.long {
		return nil
	}
	return f.each(Line{File: f.path, Number: f.n + 1, Err: ErrCutOff})
}

// open begins with the file that the path leads to by now.
func (f *follower) open() error {
	f.close()
	f.rest, f.long, f.n = nil, false, 0
	var err error
	if f.f, err = os.Open(f.path); err != nil {
		if f.f = nil; os.IsNotExist(err) {
			return nil // it is being turned over
		}
	}
	return err
}

func (f *follower) close() {
	if f.f != nil {
		_ = f.f.Close() // it was only read
	}
}

// turned reports whether the path leads to another file by now, or to what was
// emptied in its place.
func (f *follower) turned() bool {
	now, err := os.Stat(f.path)
	if err != nil {
		return false
	}
	if f.f == nil {
		return true
	}
	was, err := f.f.Stat()
	if err != nil {
		return false
	}
	at, err := f.f.Seek(0, io.SeekCurrent)
	return !os.SameFile(was, now) || err == nil && now.Size() < at
}

// read takes whole lines; a line that is being written waits.
func (f *follower) read(ctx context.Context) error {
	if f.f == nil {
		return nil
	}
	room := make([]byte, 64<<10)
	for ctx.Err() == nil {
		n, err := f.f.Read(room)
		f.rest = append(f.rest, room[:n]...)
		if err := f.lines(); err != nil {
			return err
		}
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		}
	}
	return ctx.Err()
}

// lines hands on the whole lines of what was read.
func (f *follower) lines() error {
	text := f.rest
	for {
		at := bytes.IndexByte(text, '\n')
		if at < 0 {
			break
		}
		line := Line{File: f.path, Number: f.n + 1, Text: text[:at]}
		if f.long || at >= MaxLine {
			line.Text, line.Err = nil, errLong
		}
		f.n, f.long, text = f.n+1, false, text[at+1:]
		if line.Err == nil && len(bytes.TrimSpace(line.Text)) == 0 {
			continue
		}
		if err := f.each(line); err != nil {
			return err
		}
	}
	if len(text) > MaxLine {
		f.long, text = true, nil
	}
	f.rest = append(f.rest[:0], text...)
	return nil
}
