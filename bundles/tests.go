package bundles

import (
	"context"
	"fmt"
	"io/fs"
	"path"
	"strings"
	"time"

	"github.com/fsnotify/fsnotify"
)

// LoadTests reads the tests of a policy set, which Load passes over: every
// *_test.rego by its name, within Load's bounds, hidden and testdata folders
// left out.
func LoadTests(fsys fs.FS) (map[string]string, error) {
	tests := map[string]string{}
	l := loader{fsys: fsys}
	err := fs.WalkDir(fsys, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if l.seen++; l.seen > maxSeen {
			return fmt.Errorf("more than %d files and folders: is this the policy folder?", maxSeen)
		}
		base := path.Base(name)
		if d.IsDir() {
			if name != "." && strings.HasPrefix(base, ".") || base == "testdata" || strings.Count(name, "/") >= maxFolder {
				return fs.SkipDir
			}
			return nil
		}
		if strings.HasPrefix(base, ".") || !strings.HasSuffix(base, "_test.rego") {
			return nil
		}
		text, err := l.read(name)
		tests[name] = string(text)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("policy tests: %w", err)
	}
	return tests, nil
}

// Watch calls do at once and whenever something below dir has changed and was
// then still for quiet, until ctx ends. do is called by one goroutine, and a
// change while it runs is not lost. The error is for a dir that cannot be watched.
func Watch(ctx context.Context, dir string, quiet time.Duration, do func(context.Context)) error {
	m := &Manager{opt: Options{Dir: dir, Quiet: quiet}}
	var before *fsnotify.Watcher
	for {
		w, err := m.arm()
		if before != nil {
			before.Close()
		}
		if err != nil {
			return fmt.Errorf("%s: %w", dir, err)
		}
		do(ctx)
		if !m.wait(ctx, w) {
			return w.Close()
		}
		before = w
	}
}
