package ended

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

var noon = time.Date(2026, 3, 5, 12, 0, 0, 0, time.UTC)

type clock struct{ now time.Time }

func (c *clock) Now() time.Time { return c.now }

func open(t *testing.T, dir string, c *clock) *Journal {
	t.Helper()
	j, err := Open(dir, c.Now)
	if err != nil {
		t.Fatal(err)
	}
	return j
}

func mark(t *testing.T, j *Journal, ids ...string) {
	t.Helper()
	for _, id := range ids {
		if err := j.Mark(id); err != nil {
			t.Fatal(err)
		}
	}
}

func shut(t *testing.T, j *Journal) {
	t.Helper()
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestEndedGrantsOutliveARestart(t *testing.T) {
	t.Parallel()
	dir, c := t.TempDir(), &clock{noon}
	j := open(t, dir, c)
	mark(t, j, "demo-1-a", "demo-2-b", "demo-1-a")
	shut(t, j)
	c.now = noon.Add(11 * time.Minute)
	j = open(t, dir, c)
	if !j.Has("demo-1-a") || !j.Has("demo-2-b") || j.Has("demo-3-c") {
		t.Error("after eleven minutes and a restart it remembers others than it was told")
	}
	shut(t, j)
	c.now = noon.Add(keep)
	j = open(t, dir, c)
	defer shut(t, j)
	if j.Has("demo-1-a") || j.lines != 0 {
		t.Errorf("it never forgets: %d lines", j.lines)
	}
}

func TestEndThatIsRepeatedIsRememberedFromThenOn(t *testing.T) {
	t.Parallel()
	c := &clock{noon}
	j := open(t, t.TempDir(), c)
	defer shut(t, j)
	mark(t, j, "demo-1-a")
	c.now = noon.Add(keep - time.Minute)
	mark(t, j, "demo-1-a")
	c.now = c.now.Add(11 * time.Minute)
	if !j.Has("demo-1-a") {
		t.Error("forgotten")
	}
}

// TestHalfALineIsNoHindrance: what a power cut leaves.
func TestHalfALineIsNoHindrance(t *testing.T) {
	t.Parallel()
	dir, c := t.TempDir(), &clock{noon}
	file := filepath.Join(dir, "ended")
	if err := os.WriteFile(file, fmt.Appendf(nil, "%d demo-1-a\n%d", noon.Unix(), noon.Unix()), 0o600); err != nil {
		t.Fatal(err)
	}
	j := open(t, dir, c)
	mark(t, j, "demo-2-b")
	shut(t, j)
	j = open(t, dir, c)
	defer shut(t, j)
	if !j.Has("demo-1-a") || !j.Has("demo-2-b") {
		t.Error("a whole line went with the half one")
	}
}

// TestWriteThatFailsIsSaidAndMended: the disk is full, and later is not.
func TestWriteThatFailsIsSaidAndMended(t *testing.T) {
	t.Parallel()
	dir, c := t.TempDir(), &clock{noon}
	j := open(t, dir, c)
	good := j.file
	full, err := os.Open(filepath.Join(dir, "ended")) // for reading: it takes no write
	if err != nil {
		t.Fatal(err)
	}
	j.file = full
	if err := j.Mark("demo-1-a"); err == nil || j.Has("demo-1-a") {
		t.Fatalf("an end that is not on the disk counts: %v", err)
	}
	mark(t, j, "demo-1-a")
	_ = good.Close()
	shut(t, j)
	j = open(t, dir, c)
	defer shut(t, j)
	if !j.Has("demo-1-a") {
		t.Error("forgotten")
	}
}

func TestTwoProvisionersDoNotShareAFolder(t *testing.T) {
	t.Parallel()
	dir, c := t.TempDir(), &clock{noon}
	j := open(t, dir, c)
	defer shut(t, j)
	if _, err := Open(dir, c.Now); err == nil || !strings.Contains(err.Error(), "another provisioner") {
		t.Errorf("got %v", err)
	}
}

func TestFileStaysSmall(t *testing.T) {
	t.Parallel()
	c := &clock{noon}
	j := open(t, t.TempDir(), c)
	defer shut(t, j)
	j.most = 100
	j.lines = 2 * j.most
	mark(t, j, "demo-1-a")
	if j.lines != 1 {
		t.Errorf("%d lines", j.lines)
	}
	for i := range j.most {
		j.at[fmt.Sprint("demo-9-", i)] = noon
	}
	if err := j.Mark("demo-1-b"); err == nil || !j.Has("demo-1-a") {
		t.Errorf("a full journal forgets: %v", err)
	}
	c.now = noon.Add(keep)
	mark(t, j, "demo-1-b")
	if len(j.at) != 1 {
		t.Errorf("%d are remembered", len(j.at))
	}
}
