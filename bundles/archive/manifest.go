package archive

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Manifest is what a bundle says of itself.
type Manifest struct {
	// Revision names it, in at most 100 bytes; "" if it has no name.
	Revision string
	// Roots are the paths of `data` that the bundle owns, e.g. "neosc/authz"; ""
	// is all of it.
	Roots []string
	// Sequence orders bundles of one source, from 1; 0 says that it has none. It is
	// the member `sequence` of the metadata.
	Sequence uint64
	// Metadata is all that the author wrote beside it.
	Metadata map[string]any
}

type manifestForm struct {
	Revision         string         `json:"revision"`
	Roots            *[]string      `json:"roots,omitempty"`
	RegoVersion      *int           `json:"rego_version,omitempty"`
	FileRegoVersions map[string]int `json:"file_rego_versions,omitempty"`
	Wasm             []any          `json:"wasm,omitempty"`
	Metadata         map[string]any `json:"metadata,omitempty"`
}

const (
	maxRevision = 100
	maxRoots    = 100
	// maxSequence is what JSON numbers of any reader hold exactly.
	maxSequence = 1<<53 - 1
)

func (m *Manifest) set(text []byte) error {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	var f manifestForm
	if err := d.Decode(&f); err != nil {
		return err
	}
	if v := f.RegoVersion; v != nil && *v != 1 {
		return fmt.Errorf("rego_version is %d; this gate reads version 1 only (opa fmt --rego-v1 -w turns files into it)", *v)
	}
	for name, v := range f.FileRegoVersions {
		if v != 1 {
			return fmt.Errorf("file_rego_versions has version %d for %.100q; this gate reads version 1 only", v, name)
		}
	}
	if len(f.Wasm) > 0 {
		return errors.New("names WebAssembly; build the bundle without -t wasm")
	}
	*m = Manifest{Revision: f.Revision, Metadata: f.Metadata, Roots: []string{""}}
	if f.Roots != nil {
		m.Roots = nil
		if len(*f.Roots) > maxRoots {
			return fmt.Errorf("names more than %d roots", maxRoots)
		}
		for _, r := range *f.Roots {
			m.Roots = append(m.Roots, strings.Trim(r, "/"))
		}
	}
	var err error
	m.Sequence, err = sequenceOf(f.Metadata)
	return err
}

func sequenceOf(metadata map[string]any) (uint64, error) {
	v, ok := metadata["sequence"]
	if !ok {
		return 0, nil
	}
	n, ok := v.(json.Number)
	if i, err := n.Int64(); ok && err == nil && i > 0 && i <= maxSequence {
		return uint64(i), nil
	}
	return 0, fmt.Errorf("metadata.sequence must be a whole number from 1 to %d", int64(maxSequence))
}

// checkRevision: it stands in logs, headers of tables and names of files.
func checkRevision(s string) error {
	odd := func(c rune) bool { return unicode.IsControl(c) || !unicode.IsPrint(c) || unicode.IsSpace(c) }
	if len(s) > maxRevision || !utf8.ValidString(s) || strings.ContainsFunc(s, odd) {
		return fmt.Errorf("revision %.40q… must be at most %d bytes without blanks", s, maxRevision)
	}
	return nil
}

// check holds the manifest against itself.
func (m *Manifest) check() error {
	if err := checkRevision(m.Revision); err != nil {
		return err
	}
	for i, r := range m.Roots {
		for _, other := range m.Roots[i+1:] {
			if under(r, other) || under(other, r) {
				return fmt.Errorf("%s: roots %q and %q overlap", manifestName, r, other)
			}
		}
	}
	return nil
}

// checkData holds the files of data against the roots. Those of Rego are for
// whoever parses them: see Owns.
func (m *Manifest) checkData(files []File) error {
	for i := range files {
		if f := &files[i]; f.Data() {
			if err := m.ownsValue(f); err != nil {
				return err
			}
		}
	}
	return nil
}

// Owns reports whether a path of data, "neosc/authz", lies in a root.
func (m *Manifest) Owns(path string) bool {
	return slices.ContainsFunc(m.Roots, func(r string) bool { return under(path, r) })
}

func under(path, root string) bool {
	return root == "" || path == root || strings.HasPrefix(path, root+"/")
}

// ownsValue goes down as far as there are roots below.
func (m *Manifest) ownsValue(f *File) error {
	at := strings.TrimSuffix(strings.TrimSuffix(f.Name, baseOf(f.Name)), "/")
	return m.owns(f.Name, at, f.Value)
}

func (m *Manifest) owns(file, at string, v any) error {
	if m.Owns(at) {
		return nil
	}
	o, ok := v.(map[string]any)
	if !ok || !slices.ContainsFunc(m.Roots, func(r string) bool { return at == "" || strings.HasPrefix(r, at+"/") }) {
		return fmt.Errorf("%s: data at %q lies outside the roots %q", file, at, m.Roots)
	}
	for k, x := range o {
		if err := m.owns(file, strings.TrimPrefix(at+"/"+k, "/"), x); err != nil {
			return err
		}
	}
	return nil
}

func baseOf(name string) string { return name[strings.LastIndexByte(name, '/')+1:] }
