package bundles

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/neosc/gate/authz/engine"
	"github.com/neosc/gate/bundles/archive"
)

// Opened is a policy set that was read from a directory or a bundle.
type Opened struct {
	// Source is the set, and Tests are its tests, by file name.
	Source engine.Source
	Tests  map[string]string
	// Archive is the bundle, nil for a directory; Packed is how many bytes it has.
	Archive *archive.Archive
	Packed  int
}

// IsBundle reports whether a place names a bundle file rather than a directory:
// a plain file, or, where there is nothing yet, a name as bundles have.
func IsBundle(place string) bool {
	if st, err := os.Stat(place); err == nil {
		return !st.IsDir()
	}
	return strings.HasSuffix(place, ".tar.gz") || strings.HasSuffix(place, ".tgz")
}

// Open reads the directory or the bundle file at a place. Whether a bundle is
// signed is for the caller to ask.
func Open(place string) (*Opened, error) {
	if !IsBundle(place) {
		root, err := os.OpenRoot(place)
		if err != nil {
			return nil, fmt.Errorf("policy directory: %w", err)
		}
		defer root.Close()
		src, err := Load(root.FS())
		if err != nil {
			return nil, err
		}
		tests, err := LoadTests(root.FS())
		return &Opened{Source: src, Tests: tests}, err
	}
	packed, err := readBounded(place)
	if err != nil {
		return nil, fmt.Errorf("bundle: %w", err)
	}
	a, err := archive.Read(packed)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", filepath.Base(place), err)
	}
	o := &Opened{Archive: a, Packed: len(packed)}
	if o.Source, o.Tests, err = Set(a); err != nil {
		return nil, fmt.Errorf("%s: %w", filepath.Base(place), err)
	}
	if o.Source.Revision == "" {
		o.Source.Revision = a.ID[:16]
	}
	return o, nil
}

// KeptActive returns the file of the bundle that a folder of kept ones names as
// the active one; "" if there is none.
func KeptActive(dir string) (string, error) {
	k := &kept{dir: dir}
	s, err := k.read()
	if err != nil || s.Active == "" {
		return "", err
	}
	return k.file(s.Active), nil
}

// Verified is t.Verify for what was opened; a directory is not signed.
func (o *Opened) Verified(t *archive.Trust, now time.Time) (archive.Signature, error) {
	if o.Archive == nil {
		return archive.Signature{}, fmt.Errorf("a policy directory %w; build a bundle of it", archive.ErrUnsigned)
	}
	return t.Verify(o.Archive, now)
}
