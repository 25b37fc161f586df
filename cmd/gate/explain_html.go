package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/neosc/gate/cmd/gate/internal/explainpage"
	"github.com/neosc/gate/session/web/pages"
)

// htmlFile writes the report as a page, mode 0600: it says who asked for what.
func (out *report) htmlFile(name string) (err error) {
	f, err := os.OpenFile(name, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return fmt.Errorf("-html: %w", err)
	}
	defer func() { err = cmp.Or(err, f.Close()) }()
	return out.html(f)
}

func (out *report) html(w io.Writer) error {
	assets, err := pages.Assets()
	if err != nil {
		return err
	}
	text, err := json.MarshalIndent(out, "", "  ")
	if err != nil {
		return err
	}
	p := &explainpage.Page{
		Verdict: out.Verdict, Status: out.Status, Notes: out.Notes, Rules: out.Rules, JSON: string(text),
		Title:    fmt.Sprintf("%s: %s %s%s", verdictWord(out.Verdict), out.Request.Method, out.Request.Host, out.Request.Path),
		Decided:  "at " + out.Request.Time.Format("2006-01-02T15:04:05.000Z07:00"),
		Compared: "A made-up request, decided as the gate would.",
	}
	for _, a := range assets {
		if a.Name == "gate.css" {
			p.Style = a.Body
		}
	}
	for _, r := range out.Reasons {
		p.Reasons = append(p.Reasons, explainpage.Reason(r))
	}
	if r := out.Recorded; r != nil {
		p.Decided = fmt.Sprintf("decided in %.1f µs %s", r.TookMicros, p.Decided)
		switch {
		case r.Agrees:
			p.Compared = "A recorded decision, decided again at its own instant: the same came out."
		default:
			p.Compared = "A recorded decision, decided again at its own instant: it was " + strings.ToLower(verdictWord(r.Verdict)) + " then, " + codesText(r.Status, r.Verdict, r.Reasons) + "."
		}
	}
	out.pageFacts(p)
	return explainpage.Write(w, p)
}

func (out *report) pageFacts(p *explainpage.Page) {
	fact := func(name, value string, code bool) {
		if value != "" {
			p.Facts = append(p.Facts, explainpage.Fact{Name: name, Value: value, Code: code})
		}
	}
	r := out.Request
	fact("Id", r.ID, true)
	fact("Asked", r.Method+" "+r.Host+r.Path, true)
	fact("Route", strings.TrimSpace(r.Route+" "+r.Matched), false)
	fact("When", r.LocalTime, false)
	fact("From", r.From, false)
	fact("Who", out.Who.text(), false)
	fact("Policy", strings.TrimSpace("revision "+out.Policy.Revision+", "+out.Policy.Source), false)
	for _, h := range out.Headers.Set {
		p.Headers = append(p.Headers, explainpage.Fact{Name: "Set", Value: h.Name + ": " + h.Value})
	}
	for _, h := range out.Headers.Removed {
		p.Headers = append(p.Headers, explainpage.Fact{Name: "Taken away", Value: h})
	}
	for _, h := range out.Headers.Response {
		p.Headers = append(p.Headers, explainpage.Fact{Name: "To the client", Value: h.Name + ": " + h.Value})
	}
	for _, l := range out.Limits {
		p.Limits = append(p.Limits, l.text()+"; not charged here")
	}
	if x := out.Recorded; x != nil && x.Limit != nil {
		p.Limits = append(p.Limits, fmt.Sprintf("%s, retry after %.3f s", x.Limit.text(), x.RetryAfter))
	}
}
