package main

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Tests run again at each change, also of what is refused, until the end.
func TestPolicyTestsWatchTheirFolder(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "set")
	var out, errs bytes.Buffer
	if code := run(t.Context(), []string{"policy", "new", "reports", "-dir", dir}, streams{strings.NewReader(""), &out, &errs}); code != exitOK {
		t.Fatalf("code %d: %s", code, errs.String())
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	r, w := io.Pipe()
	lines := make(chan string, 1000)
	go func() {
		defer close(lines)
		for s := bufio.NewScanner(r); s.Scan(); {
			lines <- s.Text()
		}
	}()
	code := make(chan int, 1)
	go func() {
		code <- run(ctx, []string{"policy", "test", "-watch", dir}, streams{strings.NewReader(""), w, w})
		_ = w.Close()
	}()
	await := func(text string) {
		t.Helper()
		limit := time.After(2 * time.Minute)
		for {
			select {
			case line, ok := <-lines:
				if !ok {
					t.Fatalf("ended before %q", text)
				}
				if strings.Contains(line, text) {
					return
				}
			case <-limit:
				t.Fatalf("never said %q", text)
			}
		}
	}
	test := filepath.Join(dir, "more_test.rego")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(test, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	await("0 failed")
	await("waiting for changes")
	write("package more_test\n\ntest_wrong if 1 == 2\n")
	await("more_test.test_wrong")
	await("waiting for changes")
	write("package more_test\n\ntest_out if http.send({})\n")
	await("http.send is not available")
	await("waiting for changes")
	write("package more_test\n\ntest_right if 1 == 1\n")
	await("0 failed")
	cancel()
	select {
	case c := <-code:
		if c != exitOK {
			t.Errorf("ended with code %d", c)
		}
	case <-time.After(time.Minute):
		t.Fatal("did not end")
	}
}
