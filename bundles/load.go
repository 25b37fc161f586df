package bundles

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strings"

	"github.com/neosc/gate/authz/engine"
	"github.com/neosc/gate/bundles/archive"
)

// Bounds of one policy set. They are far above any real one, and keep a
// mistaken directory ("/") from being read.
const (
	maxFiles  = 1000
	maxBytes  = 16 << 20
	maxFolder = 16
	maxSeen   = 20_000
)

// Load reads a policy set: every .rego file but tests (*_test.rego), and
// data.json, data.yaml or data.yml, whose content lies in `data` under the
// folders of its path, as OPA loads them. Hidden files and folders and folders
// named testdata are passed over. Symbolic links to files are followed (as
// Kubernetes mounts them), those to folders are not.
func Load(fsys fs.FS) (engine.Source, error) {
	l := loader{fsys: fsys, src: engine.Source{Modules: map[string]string{}, Data: map[string]any{}}}
	if err := fs.WalkDir(fsys, ".", l.visit); err != nil {
		return engine.Source{}, fmt.Errorf("policy set: %w", err)
	}
	return l.src, nil
}

type loader struct {
	fsys  fs.FS
	src   engine.Source
	seen  int
	files int
	bytes int64
}

func (l *loader) visit(name string, d fs.DirEntry, err error) error {
	if err != nil {
		return err
	}
	if l.seen++; l.seen > maxSeen {
		return fmt.Errorf("more than %d files and folders: is this the policy folder?", maxSeen)
	}
	base := path.Base(name)
	if name != "." && strings.HasPrefix(base, ".") || d.IsDir() && base == "testdata" {
		if d.IsDir() {
			return fs.SkipDir
		}
		return nil
	}
	if d.IsDir() {
		if strings.Count(name, "/") >= maxFolder {
			return fmt.Errorf("%s: folders nest deeper than %d", name, maxFolder)
		}
		return nil
	}
	switch {
	case strings.HasSuffix(base, ".rego") && !strings.HasSuffix(base, "_test.rego"):
		text, err := l.read(name)
		if err == nil {
			l.src.Modules[name] = string(text)
		}
		return err
	case base == "data.json":
		return l.data(name, archive.DecodeJSON)
	case base == "data.yaml" || base == "data.yml":
		return l.data(name, archive.DecodeYAML)
	}
	return nil
}

// read returns a regular file's content within the bounds of the whole set.
func (l *loader) read(name string) ([]byte, error) {
	if l.files++; l.files > maxFiles {
		return nil, fmt.Errorf("more than %d policy files", maxFiles)
	}
	f, err := archive.OpenRegular(l.fsys, name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxBytes-l.bytes+1))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if l.bytes += int64(len(text)); l.bytes > maxBytes {
		return nil, fmt.Errorf("%s: the policy files have more than %d bytes in all", name, maxBytes)
	}
	return bytes.TrimPrefix(text, []byte("\xef\xbb\xbf")), nil
}

func (l *loader) data(name string, decode func([]byte) (any, error)) error {
	text, err := l.read(name)
	if err != nil {
		return err
	}
	v, err := decode(text)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return l.value(name, v)
}

// value puts what a file of data says below the folders of its path.
func (l *loader) value(name string, v any) error {
	folder := path.Dir(name)
	if folder != "." {
		parts := strings.Split(folder, "/")
		for i := len(parts) - 1; i >= 0; i-- {
			v = map[string]any{parts[i]: v}
		}
	}
	m, ok := v.(map[string]any)
	if !ok {
		return fmt.Errorf("%s: the top of the data must be an object", name)
	}
	if err := merge(l.src.Data, m, "data"); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

// merge adds from to into; two values for one path are an error, since which
// one won would depend on the order of files.
func merge(into, from map[string]any, at string) error {
	for k, v := range from {
		old, taken := into[k]
		if !taken {
			into[k] = v
			continue
		}
		a, okA := old.(map[string]any)
		b, okB := v.(map[string]any)
		if !okA || !okB {
			return errors.New(at + "." + k + " is set by another data file too")
		}
		if err := merge(a, b, at+"."+k); err != nil {
			return err
		}
	}
	return nil
}
