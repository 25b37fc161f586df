package archive

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"
)

// BuildOptions say what a new bundle's manifest has.
type BuildOptions struct {
	// Revision names the bundle; "" means a hash of its files.
	Revision string
	// Sequence orders it among others of its source; 0 leaves it out.
	Sequence uint64
	// Roots are what it owns of `data`; none means what its packages and its data
	// begin with.
	Roots []string
	// Metadata goes into the manifest.
	Metadata map[string]string
}

// Build packs a policy folder: every .rego file, tests too, and the data of
// data.json, data.yaml and data.yml, written as JSON with its keys in order.
// Hidden files, folders named testdata and all else are passed over. The same
// files and options give the same bytes, whenever and wherever they are packed.
func Build(fsys fs.FS, o BuildOptions) ([]byte, error) {
	p := packer{fsys: fsys}
	if err := fs.WalkDir(fsys, ".", p.visit); err != nil {
		return nil, fmt.Errorf("bundle: %w", err)
	}
	if !slices.ContainsFunc(p.files, func(f File) bool { m, test := f.Rego(); return m && !test }) {
		return nil, errors.New("bundle: there are no .rego files in it")
	}
	slices.SortFunc(p.files, func(a, b File) int { return strings.Compare(a.Name, b.Name) })
	if len(o.Roots) == 0 {
		roots, err := p.roots()
		if err != nil {
			return nil, err
		}
		o.Roots = roots
	}
	if o.Revision == "" {
		o.Revision = (&Archive{Files: p.files}).hash()[:16]
	}
	form := manifestForm{Revision: o.Revision, Roots: &o.Roots, RegoVersion: new(int), Metadata: map[string]any{}}
	*form.RegoVersion = 1
	for k, v := range o.Metadata {
		form.Metadata[k] = v
	}
	if o.Sequence > 0 {
		form.Metadata["sequence"] = o.Sequence
	}
	manifest, err := marshal(form)
	if err != nil {
		return nil, fmt.Errorf("bundle: %s: %w", manifestName, err)
	}
	packed, err := pack(append(slices.Clone(p.files), File{Name: manifestName, Text: manifest}))
	if err != nil {
		return nil, err
	}
	_, err = Read(packed) // whoever builds is told what whoever reads would be
	return packed, err
}

type packer struct {
	fsys  fs.FS
	files []File
	bytes int64
}

func (p *packer) visit(name string, d fs.DirEntry, err error) error {
	if err != nil {
		return err
	}
	base := path.Base(name)
	if name != "." && strings.HasPrefix(base, ".") || d.IsDir() && base == "testdata" {
		if d.IsDir() {
			return fs.SkipDir
		}
		return nil
	}
	f := File{Name: name}
	module, _ := f.Rego()
	if d.IsDir() || !module && !f.Data() {
		return nil
	}
	if f.Text, err = p.read(name); err != nil || module {
		p.files = append(p.files, f)
		return err
	}
	decode := DecodeJSON
	if yamlData(base) {
		decode = DecodeYAML
	}
	if f.Value, err = decode(f.Text); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	f.Name = path.Join(path.Dir(name), "data.json")
	if slices.ContainsFunc(p.files, func(x File) bool { return x.Name == f.Name }) {
		return fmt.Errorf("%s: the folder has another file of data beside it; a bundle has one in each", name)
	}
	f.Text, err = marshal(f.Value)
	p.files = append(p.files, f)
	return err
}

func (p *packer) read(name string) ([]byte, error) {
	f, err := OpenRegular(p.fsys, name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, MaxBytes-p.bytes+1))
	if p.bytes += int64(len(text)); err == nil && p.bytes > MaxBytes {
		err = fmt.Errorf("%s: the files have more than %d bytes in all", name, MaxBytes)
	}
	return bytes.TrimPrefix(text, []byte("\xef\xbb\xbf")), err
}

// roots are the first names of what is in the bundle.
func (p *packer) roots() ([]string, error) {
	all := map[string]bool{}
	for i := range p.files {
		f := &p.files[i]
		at := f.Name
		if module, _ := f.Rego(); module {
			var err error
			if at, err = PackageOf(f); err != nil {
				return nil, fmt.Errorf("bundle: %w", err)
			}
		}
		first, _, below := strings.Cut(at, "/")
		o, top := f.Value.(map[string]any)
		switch {
		case !f.Data() || below:
			all[first] = true
		case top:
			for k := range o {
				all[k] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(all)), nil
}

// PackageOf returns the package of a module as a path, "neosc/authz".
func PackageOf(f *File) (string, error) {
	m, err := ast.ParseModuleWithOpts(f.Name, string(f.Text), ast.ParserOptions{RegoVersion: ast.RegoV1})
	if err != nil {
		return "", err
	}
	var parts []string
	for _, t := range m.Package.Path[1:] {
		s, ok := t.Value.(ast.String)
		if !ok {
			return "", fmt.Errorf("%s: its package is no path", f.Name)
		}
		parts = append(parts, string(s))
	}
	return strings.Join(parts, "/"), nil
}

// marshal writes JSON with sorted keys, one value a line for whoever compares.
func marshal(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	err := e.Encode(v)
	return b.Bytes(), err
}

// pack writes files as they are, in the order of their names, with nothing of
// the machine, the person and the hour that packs them.
func pack(files []File) ([]byte, error) {
	slices.SortFunc(files, func(a, b File) int { return strings.Compare(a.Name, b.Name) })
	var out bytes.Buffer
	z, err := gzip.NewWriterLevel(&out, gzip.BestCompression)
	if err != nil {
		return nil, err
	}
	w := tar.NewWriter(z)
	for i := range files {
		h := &tar.Header{Typeflag: tar.TypeReg, Name: files[i].Name, Mode: 0o644, Size: int64(len(files[i].Text)), ModTime: time.Unix(0, 0)}
		if err := w.WriteHeader(h); err != nil {
			return nil, fmt.Errorf("bundle: %s: %w", files[i].Name, err)
		}
		if _, err := w.Write(files[i].Text); err != nil {
			return nil, fmt.Errorf("bundle: %s: %w", files[i].Name, err)
		}
	}
	if err := errors.Join(w.Close(), z.Close()); err != nil {
		return nil, fmt.Errorf("bundle: %w", err)
	}
	return out.Bytes(), nil
}
