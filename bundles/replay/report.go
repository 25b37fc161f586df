package replay

import (
	"cmp"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/neosc/gate/authz"
	"github.com/neosc/gate/authz/observe/decisionlog"
)

// Report is what came of a replay. Its JSON names are stable: fields may be
// added.
type Report struct {
	// Revision is the policy's, Evaluator machine or opa, and Slow why it is opa.
	Revision  string `json:"revision"`
	Evaluator string `json:"evaluator"`
	Slow      string `json:"slow,omitempty"`
	// Records were read; of them Unjudged were not policy's to decide (the gate had
	// answered before), NotReplayable may depend on what is not recorded, and Same
	// and Changed were decided anew.
	Records       int64 `json:"records"`
	Unjudged      int64 `json:"unjudged"`
	NotReplayable int64 `json:"not_replayable"`
	Same          int64 `json:"same"`
	Changed       int64 `json:"changed"`
	// Others are records that Options.Only left out.
	Others int64 `json:"others"`
	// BadLines are no records; Bad names the first. CutOff of them are last lines of
	// a file without an end: what a killed gate, or one that is writing, leaves.
	BadLines int64     `json:"bad_lines"`
	CutOff   int64     `json:"cut_off"`
	Bad      []BadLine `json:"bad"`
	// Disagreed counts decisions on which the machine and OPA's evaluator did not
	// say the same; OPA's counts.
	Disagreed int64 `json:"disagreed"`
	// Missing says what was not recorded and may be read.
	Missing []Missing `json:"missing"`
	// Groups are the changes, most records first. Left counts changes beyond the
	// groups that are kept.
	Groups []Group `json:"groups"`
	Left   int64   `json:"left,omitempty"`
	// Revisions are those that the records were decided by, at most 100.
	Revisions []string `json:"revisions"`
	// Interrupted: it was ended before all was read.
	Interrupted bool    `json:"interrupted"`
	Seconds     float64 `json:"seconds"`
}

// Replayed is how many records were decided anew.
func (r *Report) Replayed() int64 { return r.Same + r.Changed }

// Broken is how many lines are no records and have no reason to be none.
func (r *Report) Broken() int64 { return r.BadLines - r.CutOff }

// Unreadable reports whether more lines are broken than are records: that is
// another kind of file, or one that was damaged, and says little of the traffic.
func (r *Report) Unreadable() bool { return r.Broken() > r.Records+r.Others }

// BadLine is a line that is no record.
type BadLine struct {
	File  string `json:"file"`
	Line  int    `json:"line"`
	Error string `json:"error"`
}

// Missing is one thing that is not in records.
type Missing struct {
	// Path is a JSON pointer into the record.
	Path    string   `json:"path"`
	Records int64    `json:"records"`
	Example *Example `json:"example"`
}

// Group are changes of one kind, on one route, for one set of roles, by the
// same rules.
type Group struct {
	Kind  Kind   `json:"kind"`
	Route string `json:"route"`
	// Roles are those of who asked, sorted; nil for nobody.
	Roles []string `json:"roles"`
	From  string   `json:"from"`
	To    string   `json:"to"`
	// Rules that held and do not hold any more ("-name place") or hold now
	// ("+name place"); nil where none does, or it is not known.
	Rules   []string `json:"rules"`
	Records int64    `json:"records"`
	Example *Example `json:"example"`
}

// Example is the first record of its kind in the log.
type Example struct {
	File       string    `json:"file"`
	Line       int       `json:"line"`
	DecisionID string    `json:"decision_id"`
	RequestID  string    `json:"request_id"`
	Time       time.Time `json:"time"`
	Method     string    `json:"method"`
	Host       string    `json:"host"`
	Path       string    `json:"path"` // without query
	// Explain is a command that says why; whoever prints the report sets it.
	Explain string `json:"explain,omitempty"`

	order int64
}

func exampleOf(r *decisionlog.Record, at place) *Example {
	e := &Example{File: at.file, Line: at.line, DecisionID: strings.Clone(r.DecisionID), RequestID: strings.Clone(r.RequestID), Time: r.Time, order: at.order}
	if q := r.Request; q != nil {
		path, _ := q.SplitPath()
		e.Method, e.Host, e.Path = strings.Clone(q.Method), strings.Clone(q.Host), strings.Clone(path)
	}
	return e
}

// place is where a record stands.
type place struct {
	file  string
	line  int
	order int64 // among all that are read
}

// Bounds of a report.
const (
	maxGroups    = 2000
	maxBad       = 20
	maxMissing   = 100
	maxRevisions = 100
)

// tally is a worker's share of a report.
type tally struct {
	Report
	groups    map[string]*Group
	missing   map[string]*Missing
	revisions map[string]bool
}

func newTally() *tally {
	return &tally{groups: map[string]*Group{}, missing: map[string]*Missing{}, revisions: map[string]bool{}}
}

func (t *tally) bad(at place, err error) {
	t.BadLines++
	if errors.Is(err, decisionlog.ErrCutOff) {
		t.CutOff++
	}
	if len(t.Bad) < maxBad {
		t.Bad = append(t.Bad, BadLine{at.file, at.line, err.Error()})
	}
}

func (t *tally) lacks(r *decisionlog.Record, at place, path string) {
	t.NotReplayable++
	m := t.missing[path]
	if m == nil {
		if len(t.missing) == maxMissing {
			path = "(others)"
		}
		if m = t.missing[path]; m == nil {
			m = &Missing{Path: strings.Clone(path), Example: exampleOf(r, at)}
			t.missing[m.Path] = m
		}
	}
	m.Records++
}

func (t *tally) changed(r *decisionlog.Record, at place, changes []Change, d *authz.Decision) {
	t.Changed++
	rules := rulesChanged(r, d)
	roles := sortedTexts(r.Roles())
	for _, c := range changes {
		key := strings.Join([]string{string(c.Kind), r.Route, strings.Join(roles, ","), c.From, c.To, strings.Join(rules, " ")}, "\x00")
		g := t.groups[key]
		if g == nil {
			if len(t.groups) == maxGroups {
				t.Left++
				continue
			}
			g = &Group{Kind: c.Kind, Route: strings.Clone(r.Route), From: c.From, To: c.To, Rules: rules, Example: exampleOf(r, at)}
			for _, role := range roles {
				g.Roles = append(g.Roles, strings.Clone(role))
			}
			t.groups[key] = g
		}
		g.Records++
	}
}

// add takes in what another worker found.
func (t *tally) add(o *tally) {
	t.Records += o.Records
	t.Unjudged += o.Unjudged
	t.NotReplayable += o.NotReplayable
	t.Same += o.Same
	t.Changed += o.Changed
	t.Others += o.Others
	t.BadLines += o.BadLines
	t.CutOff += o.CutOff
	t.Disagreed += o.Disagreed
	t.Left += o.Left
	t.Bad = append(t.Bad, o.Bad...)
	for key, g := range o.groups {
		have := t.groups[key]
		switch {
		case have == nil && len(t.groups) == maxGroups:
			t.Left += g.Records
		case have == nil:
			t.groups[key] = g
		default:
			have.Records += g.Records
			have.Example = earlier(have.Example, g.Example)
		}
	}
	for path, m := range o.missing {
		if have := t.missing[path]; have != nil {
			have.Records += m.Records
			have.Example = earlier(have.Example, m.Example)
		} else {
			t.missing[path] = m
		}
	}
	for revision := range o.revisions {
		t.revisions[revision] = true
	}
}

func earlier(a, b *Example) *Example {
	if b.order < a.order {
		return b
	}
	return a
}

// report puts everything in order.
func (t *tally) report() *Report {
	r := t.Report
	r.Groups, r.Missing, r.Revisions = []Group{}, []Missing{}, []string{}
	for _, g := range t.groups {
		r.Groups = append(r.Groups, *g)
	}
	slices.SortFunc(r.Groups, func(a, b Group) int {
		return cmp.Or(cmp.Compare(kindOrder(a.Kind), kindOrder(b.Kind)), cmp.Compare(b.Records, a.Records), cmp.Compare(a.Example.order, b.Example.order),
			cmp.Compare(a.From+a.To, b.From+b.To))
	})
	for _, m := range t.missing {
		r.Missing = append(r.Missing, *m)
	}
	slices.SortFunc(r.Missing, func(a, b Missing) int {
		return cmp.Or(cmp.Compare(b.Records, a.Records), strings.Compare(a.Path, b.Path))
	})
	slices.SortFunc(r.Bad, func(a, b BadLine) int { return cmp.Or(strings.Compare(b.File, a.File), cmp.Compare(a.Line, b.Line)) })
	r.Bad = append([]BadLine{}, r.Bad[:min(len(r.Bad), maxBad)]...)
	for revision := range t.revisions {
		r.Revisions = append(r.Revisions, revision)
	}
	slices.Sort(r.Revisions)
	return &r
}

func kindOrder(k Kind) int {
	return slices.Index([]Kind{Verdict, Reasons, Headers, Limits, Stream, Other}, k)
}
