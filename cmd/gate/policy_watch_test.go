package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Tests run again at each change, also of what is refused, until the end.
func TestPolicyTestsWatchTheirFolder(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "set")
	var out, errs bytes.Buffer
	if code := run(t.Context(), []string{"policy", "new", "reports", "-dir", dir}, streams{strings.NewReader(""), &out, &errs}); code != exitOK {
		t.Fatalf("code %d: %s", code, errs.String())
	}
	g := goOn(t, "policy", "test", "-watch", dir)
	test := filepath.Join(dir, "more_test.rego")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(test, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	g.await("0 failed")
	g.await("waiting for changes")
	write("package more_test\n\ntest_wrong if 1 == 2\n")
	g.await("more_test.test_wrong")
	g.await("waiting for changes")
	write("package more_test\n\ntest_out if http.send({})\n")
	g.await("http.send is not available")
	g.await("waiting for changes")
	write("package more_test\n\ntest_right if 1 == 1\n")
	g.await("0 failed")
	g.interrupt()
}
