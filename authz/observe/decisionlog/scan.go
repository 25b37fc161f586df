package decisionlog

import (
	"bufio"
	"bytes"
	"cmp"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// MaxLine is the longest line that is read, in bytes: some ten times what the
// gate writes at most.
const MaxLine = 1 << 20

// Line is one line of a log.
type Line struct {
	File string
	// Number counts from 1 in its file.
	Number int
	Text   []byte // valid until the next one is asked for
	// Err is why the line is none: too long, or cut off at the end of the file.
	Err error
}

// ErrCutOff is the error of a last line without an end: its writer was killed,
// or has not written all of it yet.
var ErrCutOff = errors.New("the line is cut off")

// gzipMagic begins what is compressed (RFC 1952, 2.3.1).
const gzipMagic = "\x1f\x8b"

var errLong = fmt.Errorf("the line is longer than %d bytes", MaxLine)

// Files returns those of a log that there are, oldest first: Path.2, Path.1,
// Path; the older ones may have been compressed (Path.2.gz). A number may be missing:
// its file was being renamed when the gate was killed. It is an error if there is
// none, or if path is a folder.
func Files(path string) ([]string, error) {
	info, err := os.Stat(path)
	if err == nil && info.IsDir() {
		return nil, fmt.Errorf("%s is a folder: name the file in it", path)
	}
	files, wrong := older(path)
	switch {
	case err == nil && wrong == nil:
		return append(files, path), nil
	case len(files) == 0:
		return nil, cmp.Or(err, wrong)
	}
	return files, nil
}

// older are a log's files but the newest, oldest first.
func older(path string) ([]string, error) {
	dir, base := filepath.Split(path)
	entries, err := os.ReadDir(cmp.Or(dir, "."))
	if err != nil {
		return nil, err
	}
	of := map[int]string{}
	var numbers []int
	for _, e := range entries {
		text, is := strings.CutPrefix(e.Name(), base+".")
		text, packed := strings.CutSuffix(text, ".gz")
		n, err := strconv.Atoi(text)
		if !is || err != nil || n < 1 || strconv.Itoa(n) != text || e.IsDir() {
			continue
		}
		if _, twice := of[n]; !twice {
			numbers = append(numbers, n)
		} else if packed { // it is being compressed
			continue
		}
		of[n] = dir + e.Name()
	}
	slices.Sort(numbers)
	out := make([]string, 0, len(numbers)+1)
	for _, n := range slices.Backward(numbers) {
		out = append(out, of[n])
	}
	return out, nil
}

// Scan reads the lines of a log, those of its oldest file first, in bounded
// memory. Empty lines are passed over. It ends with what each returns, ctx's error
// or that of reading. All files are opened before the first is read: none is passed
// over when the log is turned over meanwhile.
func Scan(ctx context.Context, path string, each func(Line) error) error {
	files, err := openAll(path, os.Open)
	if err != nil {
		return err
	}
	defer closeAll(files)
	for _, f := range files {
		if err := ScanReader(ctx, f.Name(), f, each); err != nil {
			return err
		}
	}
	return nil
}

// openAll opens the files of a log, oldest first. The newest is opened first: if
// the log is turned over in between, the next name leads to a file that is open
// already, or there is another name by now, and all begins anew.
func openAll(path string, open func(string) (*os.File, error)) ([]*os.File, error) {
	for range 10 {
		names, err := Files(path)
		if err != nil {
			return nil, err
		}
		files, whole, err := openEach(names, open)
		if err == nil && whole { // by now the oldest may have a name that was nobody's
			var now []string
			now, err = Files(path)
			whole = slices.Equal(now, names)
		}
		if err == nil && whole {
			return files, nil
		}
		closeAll(files)
		if err != nil && !errors.Is(err, fs.ErrNotExist) { // its name was another's meanwhile
			return nil, err
		}
	}
	return nil, fmt.Errorf("%s is turned over faster than its files can be opened", path)
}

// openEach returns what it has opened in any case, and whether each name led to
// another file.
func openEach(names []string, open func(string) (*os.File, error)) (files []*os.File, whole bool, err error) {
	var seen []os.FileInfo
	for _, name := range slices.Backward(names) {
		f, err := open(name)
		if err != nil {
			return files, false, err
		}
		files = append(files, f)
		info, err := f.Stat()
		if err != nil {
			return files, false, err
		}
		if slices.ContainsFunc(seen, func(x os.FileInfo) bool { return os.SameFile(x, info) }) {
			return files, false, nil
		}
		seen = append(seen, info)
	}
	slices.Reverse(files)
	return files, true, nil
}

func closeAll(files []*os.File) {
	for _, f := range files {
		_ = f.Close() // it was only read
	}
}

// ScanReader is Scan for what is open. What is compressed with gzip is
// decompressed on the way.
func ScanReader(ctx context.Context, name string, from io.Reader, each func(Line) error) error {
	r := bufio.NewReaderSize(from, 256<<10)
	if magic, err := r.Peek(2); err == nil && string(magic) == gzipMagic {
		z, err := gzip.NewReader(r)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		r = bufio.NewReaderSize(z, 256<<10)
	}
	var long []byte
	for n := 1; ; n++ {
		if n%256 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		line := Line{File: name, Number: n}
		var err error
		line.Text, err = readLine(r, &long)
		switch {
		case errors.Is(err, io.EOF) && len(line.Text) == 0:
			return ctx.Err()
		case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF): // the latter of a compressed file
			line.Err = ErrCutOff
			return each(line)
		case err != nil:
			return fmt.Errorf("%s: %w", name, err)
		case line.Text == nil:
			line.Err = errLong
		case len(bytes.TrimSpace(line.Text)) == 0:
			continue
		}
		if err := each(line); err != nil {
			return err
		}
	}
}

// readLine returns a line without its end; nil for one that is too long, of
// which all is read.
func readLine(r *bufio.Reader, long *[]byte) ([]byte, error) {
	part, err := r.ReadSlice('\n')
	if err == nil {
		return part[:len(part)-1], nil
	}
	if !errors.Is(err, bufio.ErrBufferFull) {
		return part, err
	}
	*long = append((*long)[:0], part...)
	for errors.Is(err, bufio.ErrBufferFull) {
		part, err = r.ReadSlice('\n')
		if len(*long) <= MaxLine {
			*long = append(*long, part...)
		}
	}
	switch {
	case err != nil:
		return *long, err
	case len(*long) > MaxLine:
		return nil, nil
	}
	return (*long)[:len(*long)-1], nil
}
