package engine

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/neosc/gate/authz"
	"github.com/open-policy-agent/opa/v1/ast"
)

// verdict is what a trial came to. It is good for one build of the gate and one
// policy set, data and edge included.
type verdict struct {
	Agreed bool   `json:"agreed"`
	Why    string `json:"why,omitempty"`
	Reach
}

// verdictFile names the file of p's verdict, "" if none is kept.
func (t *trials) verdictFile(p *Program) string {
	if t.opt.Dir == "" || t.opt.Build == nil {
		return ""
	}
	build, err := t.opt.Build()
	if err != nil || build == "" {
		return ""
	}
	content, err := (&Source{Modules: p.texts, Data: p.data, EntryPoint: p.entry}).hash()
	if err != nil {
		return ""
	}
	edge, err := json.Marshal(p.edge)
	if err != nil {
		return ""
	}
	h := sha256.New()
	fmt.Fprintf(h, "%d:%s%s%d:%s%d", len(build), build, content, len(edge), edge, t.opt.Inputs)
	return filepath.Join(t.opt.Dir, "policy-verdict-"+hex.EncodeToString(h.Sum(nil)[:12])+".json")
}

// verdict returns an earlier one; the zero one if there is none that can be read.
func (t *trials) verdict(p *Program) (v verdict) {
	text, err := os.ReadFile(t.verdictFile(p))
	if err != nil || json.Unmarshal(text, &v) != nil {
		return verdict{}
	}
	return v
}

// keepVerdict writes a verdict in one step. Without it, the next start compares
// again.
func (t *trials) keepVerdict(p *Program, v verdict) {
	name := t.verdictFile(p)
	if name == "" {
		return
	}
	text, err := json.Marshal(v)
	if err == nil {
		err = writeFile(name, text)
	}
	if err != nil {
		t.opt.Logger.Warn("a verdict on the policy could not be kept", "error", err)
	}
}

// writeFile replaces a file in one step; it is the owner's alone to read.
func writeFile(name string, text []byte) error {
	f, err := os.CreateTemp(filepath.Dir(name), ".policy-*")
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	if e := f.Close(); err == nil {
		err = e
	}
	if err == nil {
		err = os.Rename(f.Name(), name)
	}
	if err != nil {
		_ = os.Remove(f.Name()) // what is left of it, if anything
	}
	return err
}

// maxInputs is how many inputs of disagreement are kept, so that no flood of
// requests fills the disk.
const maxInputs = 16

// disagreement is the content of such a file. Input is what `opa eval` takes,
// with secrets masked; Clock the instant of its query.
type disagreement struct {
	Revision string    `json:"revision"`
	Clock    time.Time `json:"clock"`
	Masked   bool      `json:"masked"`
	Input    any       `json:"input"`
	Machine  any       `json:"machine"`
	OPA      any       `json:"opa"`
}

// keepInput writes the input that the two disagreed on, secrets masked, and
// returns where, as an end of a sentence.
func (t *trials) keepInput(a *activation, r *authz.Request, got *authz.Decision, gotErr error, want *authz.Decision, wantErr error) string {
	if t.opt.Dir == "" {
		return ""
	}
	if old, err := filepath.Glob(filepath.Join(t.opt.Dir, "policy-disagreement-*.json")); err != nil || len(old) >= maxInputs {
		return "; it was not kept, there are enough in " + t.opt.Dir
	}
	text, err := json.MarshalIndent(disagreementOf(a.program, r, got, gotErr, want, wantErr), "", "  ")
	name := filepath.Join(t.opt.Dir, fmt.Sprintf("policy-disagreement-%s-%d.json", a.program.fileRevision(), time.Now().UnixNano()))
	if err == nil {
		err = writeFile(name, text)
	}
	if err != nil {
		return fmt.Sprintf("; it could not be kept: %v", err)
	}
	return ", kept in " + name
}

func disagreementOf(p *Program, r *authz.Request, got *authz.Decision, gotErr error, want *authz.Decision, wantErr error) disagreement {
	h := newHider(r)
	out := disagreement{Revision: p.revision, Clock: r.Time.UTC(), Machine: said(h, got, gotErr), OPA: said(h, want, wantErr)}
	if term, err := p.build.build(r); err == nil {
		if v, err := ast.JSON(term.Value); err == nil {
			out.Input = h.masked("", v, &out.Masked)
		}
	}
	return out
}

// said is a decision or failure without secrets.
func said(h *hider, d *authz.Decision, err error) any {
	if err != nil {
		return map[string]any{"error": h.hide(err.Error())}
	}
	text, err := json.Marshal(d)
	if err != nil {
		return nil
	}
	var v any
	if json.Unmarshal(text, &v) != nil {
		return nil
	}
	var masked bool
	return h.masked("", v, &masked)
}

// masked returns a JSON value without secrets: neither what lies under secret
// names nor what is one by its value.
func (h *hider) masked(name string, v any, masked *bool) any {
	switch v := v.(type) {
	case map[string]any:
		out := make(map[string]any, len(v))
		for k, x := range v {
			out[k] = h.masked(k, x, masked)
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i, x := range v {
			out[i] = h.masked(name, x, masked)
		}
		return out
	}
	if authz.SecretName(name) {
		*masked = true
		return authz.Masked
	}
	s, ok := v.(string)
	if !ok {
		return v
	}
	shown := h.hide(s)
	*masked = *masked || shown != s
	return shown
}

// fileRevision is the revision as part of a file's name.
func (p *Program) fileRevision() string {
	h := sha256.Sum256([]byte(p.revision))
	return hex.EncodeToString(h[:6])
}
