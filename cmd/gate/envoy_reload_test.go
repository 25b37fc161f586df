package main

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/fsnotify/fsnotify"
)

// A file that was cut to nothing is one that is being written: no routes are
// refused for it.
func TestRoutesAreReadOnceTheirFileIsWrittenAndStill(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "routes.yaml")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("")
	settled := make(chan struct{})
	go func() {
		settle(t.Context(), file)
		close(settled)
	}()
	select {
	case <-settled:
		t.Error("an empty file is taken to be written")
	case <-time.After(5 * routesSettle):
	}
	write("gate: http://gate.test")
	<-settled

	gone, cancel := context.WithCancel(t.Context())
	cancel()
	write("")
	settle(gone, file) // returns, though the file is empty
}

func TestAWriteToAnotherFileIsNoChangeOfRoutes(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file, link := filepath.Join(dir, "routes.yaml"), filepath.Join(dir, "link.yaml")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("routes.yaml", link); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		event fsnotify.Event
		file  string
		want  bool
	}{
		"a log's line":              {fsnotify.Event{Name: filepath.Join(dir, "access.log"), Op: fsnotify.Write}, file, true},
		"the file's":                {fsnotify.Event{Name: file, Op: fsnotify.Write}, file, false},
		"that of what it names":     {fsnotify.Event{Name: file, Op: fsnotify.Write}, link, false},
		"another's name for it":     {fsnotify.Event{Name: filepath.Join(dir, "..data"), Op: fsnotify.Create}, file, false},
		"a new log":                 {fsnotify.Event{Name: filepath.Join(dir, "access.log"), Op: fsnotify.Create | fsnotify.Write}, file, false},
		"a write while it is away":  {fsnotify.Event{Name: filepath.Join(dir, "access.log"), Op: fsnotify.Write}, filepath.Join(dir, "none"), false},
		"the watcher's end of file": {fsnotify.Event{}, file, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := ofAnother(c.event, c.file); got != c.want {
				t.Errorf("another's: %v", got)
			}
		})
	}
}
