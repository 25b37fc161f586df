package ppl

import (
	"time"
)

// Kind says what became of something that has no equal here.
type Kind string

// Kinds of notes, from grave to slight.
const (
	// Denies: it cannot be expressed, so that what it would decide is refused.
	Denies Kind = "denies"
	// Stricter: it is read as a condition where Pomerium would open by it.
	Stricter Kind = "stricter"
	// Look: it is not taken over, or otherwise; somebody should look at it.
	Look Kind = "look"
)

// Note is one line of the report.
type Note struct {
	Line int  `json:"line"`
	Kind Kind `json:"kind"`
	// Route is "" for what is about the whole file.
	Route string `json:"route,omitempty"`
	Key   string `json:"key"`
	// What was done, and the mend.
	What string `json:"what"`
}

// routeModel is one route as read.
type routeModel struct {
	line, at     int // at is its place among all
	name, origin string
	match        matchModel
	target       targetModel
	timeout      time.Duration
	idle         *time.Duration
	upgrades     []string
	rewrite      map[string]string
	priority     int // 0: what the routes file makes of the match
	passIdentity *bool
	set          []header // on the request upstream
	remove       []string
	respond      []header // on the response

	allow, deny []rule
	hours       []window
	limits      []limit
	alsoRoles   []string
	data        map[string]any // by criterion
	names       map[string]int // criteria so far, by kind
	criteria    []*criterion
}

type matchModel struct{ path, prefix, regex string }

// targetModel is one of endpoints, redirect and respond.
type targetModel struct {
	endpoints []endpoint
	tls       *tlsModel
	path      string // of `to`: takes the place of the prefix
	redirect  map[string]any
	respond   map[string]any
}

type endpoint struct {
	address string
	weight  int // -1 without
}

type tlsModel struct{ ca, serverName, cert, key string }

// header is a name in lower case and the parts that make its value.
type header struct {
	name  string
	parts []string // Rego terms
}

// rule is one operator of an allow or deny and its criteria.
type rule struct {
	line     int
	op       string // and, or, not, nor
	criteria []*criterion
	ours     bool // it is not in the file
}

// criterion is one condition. name is that of its rule in Rego.
type criterion struct {
	line       int
	name, text string
	claim      string // of which claim it is, "" for others
	body       string // Rego; "true" and "false" are constants
	personal   bool
}

// window is a time of the week.
type window struct {
	timezone    string
	days        map[string]bool
	from, until [3]int
}

func (w window) data() map[string]any {
	days := map[string]any{}
	for d := range w.days {
		days[d] = true
	}
	return map[string]any{"timezone": w.timezone, "days": days, "from": clock(w.from), "until": clock(w.until)}
}

func clock(c [3]int) []any { return []any{c[0], c[1], c[2]} }

// limit is so many requests a second for one person.
type limit struct {
	rate  float64
	burst int
}
