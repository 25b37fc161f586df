// Package explainpage shows an explanation as one HTML file that needs nothing
// else: its style is in it, no script is, and its policy (CSP) lets nothing be
// fetched or sent.
package explainpage

import (
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"fmt"
	"html/template"
	"io"
	"time"

	"github.com/neosc/gate/authz/engine"
)

//go:embed page.html
var page string

// Page is what there is to show.
type Page struct {
	// Style is the whole style sheet, which is trusted.
	Style []byte
	// Verdict is allow, deny, limit or error; Title says it in a sentence.
	Verdict, Title string
	Status         int
	Reasons        []Reason
	Decided        string // how and when it was decided
	Compared       string // with what was recorded
	Facts          []Fact
	Headers        []Fact
	Limits         []string
	Notes          []string
	Rules          []engine.RuleTrace
	// JSON is the whole explanation.
	JSON string
}

// Reason is a code and what it says to people.
type Reason struct{ Code, Text string }

// Fact has a name and a value; a Code one is shown as code.
type Fact struct {
	Name, Value string
	Code        bool
}

// counts are of rules by what became of them.
type counts struct{ Held, Failed, Other int }

// Counts counts the rules.
func (p *Page) Counts() (c counts) {
	for _, r := range p.Rules {
		switch r.State {
		case engine.Held:
			c.Held++
		case engine.NotHeld:
			c.Failed++
		default:
			c.Other++
		}
	}
	return c
}

// Tone is the colour of the verdict.
func (p *Page) Tone() string {
	switch p.Verdict {
	case "allow":
		return "good"
	case "limit":
		return "warn"
	default:
		return "bad"
	}
}

// Write writes the page.
func Write(w io.Writer, p *Page) error {
	t, err := template.New("page").Funcs(template.FuncMap{
		"held": func(s engine.State) bool { return s == engine.Held }, "failed": func(s engine.State) bool { return s == engine.NotHeld },
	}).Parse(page)
	if err != nil {
		return fmt.Errorf("explain page: %w", err)
	}
	style := "\n" + string(p.Style) + "\n"
	sum := sha256.Sum256([]byte(style))
	return t.Execute(w, struct {
		*Page
		CSP string
		CSS template.CSS
		Now string
	}{p, "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'; base-uri 'none'; form-action 'none'",
		template.CSS(style), time.Now().UTC().Format(time.RFC3339)})
}
