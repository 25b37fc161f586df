package main

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"
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
