// Package inspect says what is in a policy set, and what another has otherwise:
// its rules, its data, and the decisions that come of both.
package inspect

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"

	"github.com/neosc/gate/authz/engine"
	"github.com/neosc/gate/bundles"
	"github.com/neosc/gate/bundles/archive"
)

// Report is what is in a policy set.
type Report struct {
	ID       string         `json:"id,omitempty"`
	Revision string         `json:"revision,omitempty"`
	Sequence uint64         `json:"sequence,omitempty"`
	Roots    []string       `json:"roots,omitempty"`
	Metadata map[string]any `json:"metadata,omitempty"`
	// Packed is how many bytes the bundle has, Size how many its files.
	Packed int    `json:"packed_bytes,omitempty"`
	Size   int64  `json:"bytes"`
	Files  []File `json:"files"`
	// Signed: there is a signature. Signature is the one that holds, Problem why
	// none does; both are empty if no keys were given.
	Signed    bool       `json:"signed"`
	Signature *Signature `json:"signature,omitempty"`
	Problem   string     `json:"signature_problem,omitempty"`
	// Rules are those outside of tests, EntryPoints those that are annotated as such
	// or that the gate asks, if it is there.
	Rules       []Rule   `json:"rules"`
	EntryPoints []string `json:"entry_points"`
	Tests       []string `json:"tests"`
}

// File is one file of a bundle.
type File struct {
	Name string `json:"name"`
	Size int    `json:"bytes"`
}

// Signature is who signed.
type Signature struct {
	KeyID     string     `json:"key"`
	Algorithm string     `json:"algorithm"`
	Issuer    string     `json:"issuer,omitempty"`
	IssuedAt  *time.Time `json:"issued_at,omitempty"`
	ExpiresAt *time.Time `json:"expires_at,omitempty"`
}

// Rule is all that is written of one path.
type Rule struct {
	// Path is as "neosc.authz.decision".
	Path string `json:"rule"`
	// At are the places, "authz.rego:12".
	At []string `json:"at"`
	// text is what the rule says, whatever its blanks and comments.
	text string
}

// Inspect reports on what was opened. trust may be nil: then nobody's signature
// is looked at.
func Inspect(o *bundles.Opened, entry string, trust *archive.Trust, now time.Time) (*Report, error) {
	r := &Report{Files: []File{}, EntryPoints: []string{}, Tests: []string{}}
	if a := o.Archive; a != nil {
		r.ID, r.Revision, r.Sequence, r.Roots, r.Metadata = a.ID, a.Manifest.Revision, a.Manifest.Sequence, a.Manifest.Roots, a.Manifest.Metadata
		r.Packed, r.Size, r.Signed = o.Packed, a.Size, a.Signed()
		for i := range a.Files {
			r.Files = append(r.Files, File{a.Files[i].Name, len(a.Files[i].Text)})
		}
	} else {
		for _, texts := range []map[string]string{o.Source.Modules, o.Tests} {
			for name, text := range texts {
				r.Files = append(r.Files, File{name, len(text)})
				r.Size += int64(len(text))
			}
		}
		slices.SortFunc(r.Files, func(a, b File) int { return strings.Compare(a.Name, b.Name) })
	}
	if trust != nil {
		s, err := o.Verified(trust, now)
		if err != nil {
			r.Problem = err.Error()
		} else {
			r.Signature = &Signature{KeyID: s.KeyID, Algorithm: s.Algorithm, Issuer: s.Issuer, IssuedAt: orNil(s.IssuedAt), ExpiresAt: orNil(s.ExpiresAt)}
		}
	}
	var err error
	if r.Rules, r.EntryPoints, err = rulesOf(o.Source.Modules, entry); err != nil {
		return nil, err
	}
	r.Tests, err = testsOf(o.Tests)
	return r, err
}

func orNil(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

// rulesOf lists the rules of modules, by path.
func rulesOf(texts map[string]string, entry string) (rules []Rule, entries []string, err error) {
	by := map[string]*Rule{}
	marked := map[string]bool{}
	entry = entryPath(entry)
	for _, name := range slices.Sorted(maps.Keys(texts)) {
		m, err := parsed(name, texts[name])
		if err != nil {
			return nil, nil, err
		}
		for _, r := range m.Rules {
			path := pathOf(r)
			x := by[path]
			if x == nil {
				x = &Rule{Path: path}
				by[path] = x
			}
			x.At = append(x.At, fmt.Sprintf("%s:%d", name, r.Location.Row))
			x.text += r.String() + "\n"
			if path == entry {
				marked[path] = true
			}
		}
		for _, a := range m.Annotations {
			if a.Entrypoint {
				if at := a.GetTargetPath(); at != nil {
					marked[strings.TrimPrefix(at.String(), "data.")] = true
				}
			}
		}
	}
	for _, path := range slices.Sorted(maps.Keys(by)) {
		rules = append(rules, *by[path])
	}
	return rules, slices.Sorted(maps.Keys(marked)), nil
}

func entryPath(entry string) string {
	if entry == "" {
		entry = engine.DefaultEntryPoint
	}
	return strings.ReplaceAll(strings.TrimPrefix(entry, "data."), "/", ".")
}

func parsed(name, text string) (*ast.Module, error) {
	return ast.ParseModuleWithOpts(name, text, ast.ParserOptions{RegoVersion: ast.RegoV1, ProcessAnnotation: true})
}

func pathOf(r *ast.Rule) string {
	return strings.TrimPrefix(r.Ref().GroundPrefix().String(), "data.")
}

func testsOf(texts map[string]string) ([]string, error) {
	all := []string{}
	for _, name := range slices.Sorted(maps.Keys(texts)) {
		m, err := parsed(name, texts[name])
		if err != nil {
			return nil, err
		}
		for _, r := range m.Rules {
			path := pathOf(r)
			if last := path[strings.LastIndexByte(path, '.')+1:]; strings.HasPrefix(last, "test_") && !slices.Contains(all, path) {
				all = append(all, path)
			}
		}
	}
	slices.Sort(all)
	return all, nil
}
