package decisionlog

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"time"
)

// FileOptions make a file sink. Path is needed.
type FileOptions struct {
	// Path is the newest file; older ones are Path.1, Path.2 and so on.
	Path string
	// MaxBytes is how large a file gets, 0 for 64 MiB; Files how many there are in
	// all, 0 for 8.
	MaxBytes int64
	Files    int
	// Sync is after how long written records are synced to disk: what a crash of
	// the machine loses at most, on top of what waits in the buffer. 0 syncs only
	// when a file is full or closed.
	Sync time.Duration
	// Now is time.Now if nil.
	Now func() time.Time
	// Busy is called before files are synced to disk, and what it returns after. nil
	// is nothing.
	Busy func() (done func())
}

// fileSink appends to a file and turns it over.
type fileSink struct {
	o       FileOptions
	f       *os.File
	size    int64
	dirty   time.Time // of the first write that is not synced; zero for none
	trouble error
}

// NewFile opens the newest file, mode 0600, and mends its end: what a crash cut
// off stays on a line of its own.
func NewFile(o FileOptions) (Sink, error) {
	if o.MaxBytes <= 0 {
		o.MaxBytes = 64 << 20
	}
	if o.Files <= 0 {
		o.Files = 8
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	o.Busy = orNothing(o.Busy)
	s := &fileSink{o: o}
	if err := s.open(); err != nil {
		return nil, fmt.Errorf("decision log: %w", err)
	}
	return s, nil
}

func (s *fileSink) open() error {
	f, err := os.OpenFile(s.o.Path, os.O_CREATE|os.O_RDWR|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s is no regular file", s.o.Path)
	}
	if err == nil && info.Size() > 0 {
		err = closeLine(f, info.Size())
	}
	if err != nil {
		return errors.Join(err, f.Close())
	}
	s.f, s.size = f, info.Size()
	return nil
}

// closeLine ends a line that was cut off.
func closeLine(f *os.File, size int64) error {
	var last [1]byte
	if _, err := f.ReadAt(last[:], size-1); err != nil {
		return err
	}
	if last[0] == '\n' {
		return nil
	}
	_, err := f.Write([]byte{'\n'})
	return err
}

// Write implements Sink.
func (s *fileSink) Write(_ context.Context, lines []byte) error {
	for len(lines) > 0 {
		if s.f == nil { // an earlier call could not open one
			if err := s.open(); err != nil {
				return &LostError{bytes.Count(lines, []byte{'\n'}), err}
			}
		}
		part := s.fitting(lines)
		if part == 0 {
			if err := s.turn(); err != nil {
				return &LostError{bytes.Count(lines, []byte{'\n'}), err}
			}
			continue
		}
		n, err := s.f.Write(lines[:part])
		s.size += int64(n)
		if err != nil { // a disk that is full, say: what is cut off gets a line of its own
			whole := bytes.Count(lines[:n], []byte{'\n'})
			err = errors.Join(err, s.f.Close())
			s.f = nil
			return &LostError{bytes.Count(lines, []byte{'\n'}) - whole, err}
		}
		if s.dirty.IsZero() {
			s.dirty = s.o.Now()
		}
		lines = lines[part:]
	}
	return s.sync()
}

// fitting is how many bytes of whole lines the file takes. An empty file takes
// one however long it is.
func (s *fileSink) fitting(lines []byte) int {
	left := s.o.MaxBytes - s.size
	if int64(len(lines)) <= left {
		return len(lines)
	}
	if left > 0 {
		if n := bytes.LastIndexByte(lines[:left], '\n') + 1; n > 0 {
			return n
		}
	}
	if s.size == 0 {
		return bytes.IndexByte(lines, '\n') + 1
	}
	return 0
}

// turn makes the file Path.1, the one before it Path.2, and begins a new one.
func (s *fileSink) turn() error {
	defer s.o.Busy()()
	err := errors.Join(settle(s.f), s.f.Close())
	s.f, s.dirty = nil, time.Time{}
	if err != nil {
		return err
	}
	for i := s.o.Files - 1; i > 0; i-- {
		from := s.o.Path
		if i > 1 {
			from = numbered(s.o.Path, i-1)
		}
		if err := os.Rename(from, numbered(s.o.Path, i)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	if s.o.Files == 1 {
		if err := os.Remove(s.o.Path); err != nil {
			return err
		}
	}
	return s.open()
}

func numbered(path string, i int) string { return path + "." + strconv.Itoa(i) }

// sync syncs what was written long enough ago.
func (s *fileSink) sync() error {
	if s.o.Sync <= 0 || s.dirty.IsZero() || s.o.Now().Sub(s.dirty) < s.o.Sync || s.f == nil {
		return nil
	}
	s.dirty = time.Time{}
	defer s.o.Busy()()
	if err := settle(s.f); err != nil {
		return &LostError{0, fmt.Errorf("written, but not on disk: %w", err)}
	}
	return nil
}

// settle waits until a file is on disk. It need not be in memory then.
func settle(f *os.File) error {
	err := f.Sync()
	uncache(f)
	return err
}

// Idle implements Sink.
func (s *fileSink) Idle() { s.trouble = errors.Join(s.trouble, s.sync()) }

// Close implements Sink.
func (s *fileSink) Close() error {
	if s.f == nil {
		return s.trouble
	}
	return errors.Join(s.trouble, settle(s.f), s.f.Close())
}
