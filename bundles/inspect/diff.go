package inspect

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/neosc/gate/authz/engine"
	"github.com/neosc/gate/bundles"
)

// Diff is what one policy set has otherwise than another.
type Diff struct {
	Before string `json:"before"`
	After  string `json:"after"`
	// Rules and Tests are named as "neosc.authz.decision".
	Rules Change `json:"rules"`
	Tests Change `json:"tests"`
	// Data are places in `data`, as JSON pointers with what is there.
	Data      []DataChange `json:"data"`
	Truncated bool         `json:"data_truncated,omitempty"` // there are more
	// Decisions are those that came out otherwise; nil if they were not compared.
	Decisions *Decisions `json:"decisions,omitempty"`
}

// Change lists names.
type Change struct {
	Added   []string `json:"added"`
	Removed []string `json:"removed"`
	Changed []string `json:"changed"`
}

// Empty reports whether nothing has changed.
func (c *Change) Empty() bool { return len(c.Added)+len(c.Removed)+len(c.Changed) == 0 }

// DataChange is one place of data; Before and After are JSON, "" where there is
// nothing.
type DataChange struct {
	Path   string `json:"path"`
	Before string `json:"before,omitempty"`
	After  string `json:"after,omitempty"`
}

// Empty reports whether the two are the same, as far as was looked.
func (d *Diff) Empty() bool {
	return d.Rules.Empty() && d.Tests.Empty() && len(d.Data) == 0 && (d.Decisions == nil || d.Decisions.Changed == 0)
}

// Bounds of what a diff shows.
const (
	maxData  = 200
	maxValue = 200
)

// Options say how two sets are compared.
type Options struct {
	// Edge and EntryPoint are those of the gate that would decide.
	Edge       engine.Edge
	EntryPoint string
	// Requests is how many requests each set's decisions are compared on; 0 means
	// that they are not.
	Requests int
}

// Compare says what after has otherwise than before.
func Compare(ctx context.Context, before, after *bundles.Opened, o Options) (*Diff, error) {
	d := &Diff{Before: nameOf(before), After: nameOf(after), Data: []DataChange{}}
	var rules [2]map[string]string
	var tests [2]map[string]string
	for i, x := range []*bundles.Opened{before, after} {
		var err error
		if rules[i], err = textsOf(x.Source.Modules); err != nil {
			return nil, err
		}
		if tests[i], err = textsOf(x.Tests); err != nil {
			return nil, err
		}
	}
	d.Rules, d.Tests = changes(rules[0], rules[1]), changes(tests[0], tests[1])
	d.data("", before.Source.Data, after.Source.Data)
	if o.Requests == 0 {
		return d, nil
	}
	var err error
	d.Decisions, err = decide(ctx, before, after, o)
	return d, err
}

func nameOf(o *bundles.Opened) string {
	src := o.Source
	if src.Identify() != nil {
		return ""
	}
	return src.Revision
}

func textsOf(modules map[string]string) (map[string]string, error) {
	rules, _, err := rulesOf(modules, "")
	if err != nil {
		return nil, err
	}
	out := map[string]string{}
	for i := range rules {
		out[rules[i].Path] = rules[i].text
	}
	return out, nil
}

func changes(before, after map[string]string) Change {
	c := Change{Added: []string{}, Removed: []string{}, Changed: []string{}}
	for name, text := range before {
		switch now, there := after[name]; {
		case !there:
			c.Removed = append(c.Removed, name)
		case now != text:
			c.Changed = append(c.Changed, name)
		}
	}
	for name := range after {
		if _, there := before[name]; !there {
			c.Added = append(c.Added, name)
		}
	}
	for _, l := range [][]string{c.Added, c.Removed, c.Changed} {
		slices.Sort(l)
	}
	return c
}

// data goes down as long as both sides are objects.
func (d *Diff) data(at string, before, after any) {
	a, okA := before.(map[string]any)
	b, okB := after.(map[string]any)
	if okA && okB {
		names := slices.Collect(maps.Keys(a))
		for k := range b {
			if _, there := a[k]; !there {
				names = append(names, k)
			}
		}
		slices.Sort(names)
		for _, k := range names {
			x, inA := a[k]
			y, inB := b[k]
			switch path := at + "/" + pointer.Replace(k); {
			case !inA:
				d.note(DataChange{Path: path, After: shown(y)})
			case !inB:
				d.note(DataChange{Path: path, Before: shown(x)})
			default:
				d.data(path, x, y)
			}
		}
		return
	}
	if !reflect.DeepEqual(before, after) {
		d.note(DataChange{Path: at, Before: shown(before), After: shown(after)})
	}
}

// pointer escapes a key for a JSON pointer (RFC 6901).
var pointer = strings.NewReplacer("~", "~0", "/", "~1")

func (d *Diff) note(c DataChange) {
	if len(d.Data) == maxData {
		d.Truncated = true
		return
	}
	d.Data = append(d.Data, c)
}

func shown(v any) string {
	text, err := json.Marshal(v)
	if err != nil {
		return fmt.Sprint(v)
	}
	if len(text) > maxValue {
		return string(text[:maxValue]) + "…"
	}
	return string(text)
}
