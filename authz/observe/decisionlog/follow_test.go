package decisionlog_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/neosc/gate/authz/observe/decisionlog"
)

// followed is a log that is followed: what comes is awaited in order, and nothing
// else may come.
type followed struct {
	*testing.T
	file string
	seen chan decisionlog.Line
	over chan error
	ctx  context.Context
	stop func()
}

func follow(t *testing.T, older, text string) *followed {
	t.Helper()
	x := &followed{T: t, file: filepath.Join(t.TempDir(), "d.ndjson"), seen: make(chan decisionlog.Line), over: make(chan error, 1)}
	x.add(x.file+".1", older)
	x.add(x.file, text)
	x.ctx, x.stop = context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(x.stop)
	go func() {
		x.over <- decisionlog.Follow(x.ctx, x.file, func(l decisionlog.Line) error {
			l.Text = bytes.Clone(l.Text)
			x.seen <- l
			return nil
		}, func() error {
			x.seen <- decisionlog.Line{Text: []byte("caught up")}
			return nil
		})
	}()
	return x
}

func (x *followed) add(file, text string) {
	x.Helper()
	f, err := os.OpenFile(file, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		x.Fatal(err)
	}
	_, err = f.WriteString(text)
	if err := errors.Join(err, f.Close()); err != nil {
		x.Fatal(err)
	}
}

// await takes lines as "number text", or "number error".
func (x *followed) await(want ...string) {
	x.Helper()
	for _, w := range want {
		select {
		case l := <-x.seen:
			got := string(l.Text)
			if l.Err != nil {
				got = l.Err.Error()
			}
			if got != w {
				x.Fatalf("line %d is %.40q, want %q", l.Number, got, w)
			}
		case err := <-x.over:
			x.Fatalf("it ends with %v before %q", err, w)
		case <-x.ctx.Done():
			x.Fatalf("%q does not come", w)
		}
	}
}

func (x *followed) end() {
	x.Helper()
	x.stop()
	select {
	case l := <-x.seen:
		x.Errorf("%q came once more", l.Text)
	case err := <-x.over:
		if !errors.Is(err, context.Canceled) {
			x.Error(err)
		}
	}
}

// What is added between the log's end and the first look for more is seen, and a
// record of which half was written when the end came is whole.
func TestAFollowerSeesEachLineOnceFromTheFirstOnThroughATurnover(t *testing.T) {
	t.Parallel()
	x := follow(t, "oldest\n\nolder\n", "old\nsec")
	x.await("oldest", "older", "old")
	x.add(x.file, "o") // it is on its way to the end
	x.await("caught up")
	x.add(x.file, "nd\n \nth")
	x.await("second")
	x.add(x.file, "ird\nlast\nof a killed")
	if err := os.Rename(x.file, x.file+".2"); err != nil {
		t.Fatal(err)
	}
	x.add(x.file, "first of the next\n")
	x.await("third", "last", decisionlog.ErrCutOff.Error(), "first of the next")
	x.end()
}

func TestAFollowerBeginsAgainWithALogThatWasEmptied(t *testing.T) {
	t.Parallel()
	x := follow(t, "", "one\ntwo\n")
	x.await("one", "two", "caught up")
	if err := os.Truncate(x.file, 0); err != nil {
		t.Fatal(err)
	}
	x.add(x.file, "new\n")
	x.await("new")
	x.end()
}

func TestAFollowerPassesOverALineThatIsTooLong(t *testing.T) {
	t.Parallel()
	x := follow(t, "", "")
	x.await("caught up")
	x.add(x.file, strings.Repeat("x", 2*decisionlog.MaxLine))
	x.add(x.file, "its end\nnext\n"+strings.Repeat("y", decisionlog.MaxLine-1)+"\n"+strings.Repeat("z", decisionlog.MaxLine)+"\nlast\n")
	tooLong := "the line is longer than 1048576 bytes"
	x.await(tooLong, "next", strings.Repeat("y", decisionlog.MaxLine-1), tooLong, "last")
	x.end()
}

func TestWhatCannotBeFollowedIsSaid(t *testing.T) {
	t.Parallel()
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "d.gz")
	if err := os.WriteFile(file, packed.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, says := range map[string]string{file: file + " is compressed", file + ".none": "no such file"} {
		if err := decisionlog.Follow(t.Context(), name, nil, nil); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%v, want %q", err, says)
		}
	}
	if err := os.WriteFile(file, []byte("a\nb\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	full := errors.New("full")
	for n, each := range map[int]func(decisionlog.Line) error{1: func(decisionlog.Line) error { return full }, 2: func(decisionlog.Line) error { return nil }} {
		if err := decisionlog.Follow(t.Context(), file, each, func() error { return full }); !errors.Is(err, full) {
			t.Errorf("%d: %v", n, err)
		}
	}
}
