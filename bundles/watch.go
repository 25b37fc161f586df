package bundles

import (
	"cmp"
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/fsnotify/fsnotify"
)

// maxWait, in units of Options.Quiet, bounds how long a directory that never
// falls still can put off its own reload.
const maxWait = 20

// Run reloads whenever the directory or the bundle file changes, or takes what
// Remote brings, until ctx ends; it returns an error only when the parent of what
// is watched cannot be. Refused sets do not end it. With a built-in set it just
// waits.
//
// Each round watches first and reads second, with a new watcher: a change
// before the reading is read, one after it is an event, so none is lost, and
// a directory or symbolic link that was put in the place of another is seen.
func (m *Manager) Run(ctx context.Context) error {
	switch {
	case m.opt.Remote != nil:
		m.opt.Remote.Run(ctx, m.offered, m.asked)
		return nil
	case m.opt.FS != nil:
		<-ctx.Done()
		return nil
	}
	var before *fsnotify.Watcher
	for {
		w, err := m.arm()
		if before != nil {
			before.Close()
		}
		if err != nil {
			return fmt.Errorf("policy at %s: %w", m.watched(), err)
		}
		_ = m.Reload() // logged, counted and kept in Status
		if !m.wait(ctx, w) {
			return w.Close()
		}
		before = w
	}
}

// arm watches the directory, all folders in it, and its parent, in which the
// directory itself may be replaced.
func (m *Manager) arm() (*fsnotify.Watcher, error) {
	w, err := fsnotify.NewWatcher()
	if err != nil {
		return nil, err
	}
	dir := m.watched()
	if err := w.Add(filepath.Dir(dir)); err != nil {
		w.Close()
		return nil, err
	}
	// The trailing separator walks into a directory that is a symbolic link.
	// Folders that go away meanwhile are an event in their parent.
	n := 0
	_ = filepath.WalkDir(dir+string(filepath.Separator), func(p string, d fs.DirEntry, err error) error {
		if n++; err != nil || n > maxSeen {
			return fs.SkipDir
		}
		if !d.IsDir() {
			return nil
		}
		_ = w.Add(p)
		if strings.Count(p, string(filepath.Separator))-strings.Count(dir, string(filepath.Separator)) > maxFolder+1 {
			return fs.SkipDir
		}
		return nil
	})
	return w, nil
}

// wait returns once something changed and the directory was then still for
// Quiet; false when ctx ended first.
func (m *Manager) wait(ctx context.Context, w *fsnotify.Watcher) bool {
	still := time.NewTimer(0)
	defer still.Stop()
	<-still.C
	var latest time.Time
	for {
		select {
		case <-ctx.Done():
			return false
		case e := <-w.Events:
			if !m.concerns(e) {
				continue
			}
		case <-w.Errors: // an overflow: something changed, no saying what
		case <-still.C:
			if m.opt.File == "" || m.moved() {
				return true
			}
			latest = time.Time{}
			continue
		}
		now := time.Now()
		if latest.IsZero() {
			latest = now.Add(maxWait * m.opt.Quiet)
		}
		still.Reset(min(m.opt.Quiet, latest.Sub(now)))
	}
}

func (m *Manager) watched() string { return filepath.Clean(cmp.Or(m.opt.Dir, m.opt.File)) }

// concerns leaves out what else happens in the parent directory. A bundle's may
// be a symbolic link through a folder beside it, as Kubernetes mounts files: see
// moved.
func (m *Manager) concerns(e fsnotify.Event) bool {
	if m.opt.File != "" {
		return true
	}
	dir := m.watched()
	name := filepath.Clean(e.Name)
	return name == dir || strings.HasPrefix(name, dir+string(filepath.Separator))
}

// sighting is what a bundle file looked like before it was read; info is nil if
// it was not there.
type sighting struct{ info os.FileInfo }

// sight notes what the bundle file looks like now.
func (m *Manager) sight() {
	info, err := os.Stat(m.opt.File)
	if err != nil {
		info = nil
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.seen = &sighting{info}
}

// moved reports whether the bundle file is another than the one that was read.
// Where the gate writes its log or its data beside it, each reading, of which the
// log tells, would else be the reason for the next.
func (m *Manager) moved() bool {
	now, err := os.Stat(m.opt.File)
	m.mu.Lock()
	seen := m.seen
	m.mu.Unlock()
	switch {
	case seen == nil:
		return true
	case err != nil || seen.info == nil:
		return (err == nil) != (seen.info != nil)
	}
	return !os.SameFile(seen.info, now) || seen.info.Size() != now.Size() || !seen.info.ModTime().Equal(now.ModTime())
}
