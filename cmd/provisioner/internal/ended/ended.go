// Package ended remembers which grants were ended, in a file that outlives the
// process: without it a message that once started a grant could be sent again
// after its end, and would start what nothing ends.
package ended

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

const (
	// keep is longer than a message may be replayed (5 minutes on either side of
	// its time), by as much again.
	keep = 20 * time.Minute
	// most bounds the file and the memory: 80 ends a second for as long as each is
	// kept. Above it ends wait, and nothing is forgotten.
	most = 100_000
)

// Journal is the set of ended grants. Safe for concurrent use, by one process at
// a time: two would forget what the other has noted.
type Journal struct {
	mu   sync.Mutex
	at   map[string]time.Time
	file *os.File
	path string
	// lines are in the file, of which some are too old or of ids that came again.
	lines int
	// torn: the last write failed and may have left half a line, which would
	// swallow the next one.
	torn bool
	most int
	lock *os.File
	now  func() time.Time
}

// Open reads the journal in a folder, or begins one.
func Open(dir string, now func() time.Time) (*Journal, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("journal of ended grants: %w", err)
	}
	lock, err := os.Open(dir)
	if err != nil {
		return nil, fmt.Errorf("journal of ended grants: %w", err)
	}
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return nil, errors.Join(fmt.Errorf("journal of ended grants: another provisioner works in %s", dir), lock.Close())
	}
	j := &Journal{at: map[string]time.Time{}, path: filepath.Join(dir, "ended"), most: most, lock: lock, now: now}
	if err = j.read(); err == nil {
		err = j.rewrite()
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("journal of ended grants %s: %w", j.path, err), lock.Close())
	}
	return j, nil
}

func (j *Journal) read() error {
	f, err := os.Open(j.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	s := bufio.NewScanner(f)
	for s.Scan() {
		stamp, id, ok := strings.Cut(s.Text(), " ")
		n, err := strconv.ParseInt(stamp, 10, 64)
		if !ok || err != nil {
			continue // half a line, written when the power went; its end was not answered
		}
		j.at[id] = time.Unix(n, 0)
	}
	return s.Err()
}

// Has reports whether a grant was ended lately.
func (j *Journal) Has(id string) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	at, ok := j.at[id]
	return ok && j.now().Sub(at) < keep
}

// Mark notes that a grant was ended; when it returns nil that is on the disk.
func (j *Journal) Mark(id string) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	now := j.now()
	if at, ok := j.at[id]; ok && now.Sub(at) < keep/4 {
		return nil // as good as now, and retries cost nothing
	}
	if j.torn || j.lines >= 2*j.most || len(j.at) >= j.most {
		if err := j.rewrite(); err != nil {
			return fmt.Errorf("journal of ended grants: %w", err)
		}
		if len(j.at) >= j.most {
			return errors.New("journal of ended grants: it is full; wait a while")
		}
	}
	_, err := fmt.Fprintf(j.file, "%d %s\n", now.Unix(), id)
	if err == nil {
		err = j.file.Sync()
	}
	if err != nil {
		j.torn = true
		return fmt.Errorf("journal of ended grants: %w", err)
	}
	j.at[id] = now
	j.lines++
	return nil
}

// rewrite makes a file of what still counts and puts it in the old one's place.
func (j *Journal) rewrite() error {
	now := j.now()
	f, err := os.CreateTemp(filepath.Dir(j.path), ".ended-*")
	if err != nil {
		return err
	}
	fail := func(err error) error { return errors.Join(err, f.Close(), os.Remove(f.Name())) }
	w := bufio.NewWriter(f)
	live := map[string]time.Time{}
	for id, at := range j.at {
		if now.Sub(at) >= keep {
			continue
		}
		live[id] = at
		if _, err := fmt.Fprintf(w, "%d %s\n", at.Unix(), id); err != nil {
			return fail(err)
		}
	}
	if err := errors.Join(w.Flush(), f.Sync()); err != nil {
		return fail(err)
	}
	if err := os.Rename(f.Name(), j.path); err != nil {
		return fail(err)
	}
	if j.file != nil {
		_ = j.file.Close()
	}
	j.file, j.at, j.lines, j.torn = f, live, len(live), false
	return j.lock.Sync() // the folder itself, or the new name may be gone after a power cut
}

// Close lets go of the file.
func (j *Journal) Close() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	return errors.Join(j.file.Close(), j.lock.Close())
}
