package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// What was recorded before is printed, then what is recorded meanwhile, also of
// which half was written at first; each record once.
func TestDecisionsAreFollowed(t *testing.T) {
	t.Parallel()
	record := func(id string) string {
		return `{"decision_id":"` + id + `","timestamp":"2026-03-05T12:30:00Z","input":{},"result":{"allowed":false},"custom":{"verdict":"deny","request_id":"` + id + `","reasons":["x"]}}` + "\n"
	}
	file := filepath.Join(t.TempDir(), "d.ndjson")
	f, err := os.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	write := func(text string) {
		t.Helper()
		if _, err := f.WriteString(text); err != nil {
			t.Fatal(err)
		}
	}
	half := record("r-2")
	write(record("r-1") + half[:40])
	g := goOn(t, "decisions", "-decisions", file, "-follow", "-verdict", "deny")
	g.await("id=r-1")
	write(half[40:] + "no record\n" + record("r-3"))
	for _, want := range []string{"id=r-2", file + ":3: ", "id=r-3"} {
		if got := <-g.lines; !strings.Contains(got, want) {
			t.Errorf("%q comes, want %q", got, want)
		}
	}
	g.interrupt()
}
