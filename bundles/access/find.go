package access

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// finder looks for what rules compare inputs with, and keeps what is left out.
type finder struct {
	u        *Universe
	policies []Policy
	rules    [][]*rule // by policy
	roles    map[string]bool
	paths    map[string]bool
	left     map[string]string // by input, without "input.": why it is unexplored
}

// Bounds of what is tried of one input, and of a value of data that is taken for
// a list of what an input is compared with.
const (
	maxValues     = 40
	maxDataValues = 40
	maxInstants   = 60
	maxHours      = 8
)

func cut[T any](f *finder, what string, list []T, most int) []T {
	if n := len(list) - most; n > 0 {
		f.left[what] = fmt.Sprintf("%d of %d are not tried", n, len(list))
		return list[:most]
	}
	return list
}

// plainCalls are operators that a value beside, or the value itself, passes:
// nothing of it is computed.
var plainCalls = map[string]bool{
	"eq": true, "equal": true, "assign": true, "neq": true, "lt": true, "lte": true, "gt": true, "gte": true, "internal.member_2": true, "internal.member_3": true,
	"startswith": true, "endswith": true, "contains": true, "count": true, "is_string": true, "is_number": true, "is_array": true, "net.cidr_contains": true,
	"time.now_ns": true, "time.clock": true, "time.weekday": true, "time.parse_rfc3339_ns": true,
}

// values are the constants that an input may be compared with, those of rules
// and of the data that they read, and whether that is all that rules do with it.
func (f *finder) values(path []string) (out []any, plain bool) {
	plain = true
	seen := map[string]bool{}
	add := func(v any) {
		text, _ := json.Marshal(v) // a scalar
		if !seen[string(text)] && len(text) < 200 {
			seen[string(text)] = true
			out = append(out, v)
		}
	}
	for i, p := range f.policies {
		for _, r := range near(f.rules[i], path) {
			for _, v := range r.values {
				add(v)
			}
			for call := range r.calls {
				plain = plain && (plainCalls[call])
			}
			for _, at := range r.data {
				if len(at) > 0 {
					plain = scalars(p.Judge.Program().Data(at...), add) && plain
				}
			}
		}
	}
	slices.SortFunc(out, func(a, b any) int { return strings.Compare(fmt.Sprintf("%T %v", a, a), fmt.Sprintf("%T %v", b, b)) })
	return out, plain
}

// scalars calls add with the texts, numbers and keys of data; not with those of
// data that has too many.
func scalars(data any, add func(any)) bool {
	var out []any
	walk(data, "", func(key string, v any) {
		switch v.(type) {
		case string, json.Number:
			out = append(out, v)
		}
		if key != "" {
			out = append(out, key)
		}
	})
	if len(out) > maxDataValues {
		return false
	}
	for _, v := range out {
		add(v)
	}
	return true
}

func textsOf(values []any) (out []string) {
	for _, v := range values {
		if s, ok := v.(string); ok && s != "" {
			out = append(out, s)
		}
	}
	return out
}

// find puts what rules name into the universe.
func (f *finder) find() {
	for _, path := range f.inputs() {
		name := strings.Join(path, ".")
		switch {
		case name == "session.roles":
			values, _ := f.values(path)
			for _, s := range textsOf(values) {
				if roleName.MatchString(s) && !slices.Contains(f.u.Methods, s) { // what data says of methods lies beside
					f.roles[s] = true
				}
			}
		case name == "attributes.request.http.path" || name == "parsed_path":
			f.pathsOf(path)
		case len(path) == 3 && path[0] == "session" && path[1] == "claims":
			f.open(name, path, !demoClaim(path[2]))
		case len(path) == 3 && path[0] == "route" && path[1] == "policy":
			f.open(name, path, false)
		case texted[name] != nil:
			f.texts(name, path)
		case !varied[name]:
			f.left[name] = ""
		}
	}
	f.clock()
}

// inputs are those that a policy reads, but for objects that it reads as what
// lies in them.
func (f *finder) inputs() (out [][]string) {
	known := map[string]bool{}
	for _, p := range f.policies {
		if why := p.Judge.Slow(); why != "" {
			f.left["*"] = "what the policy reads is not known, since the machine does not run it: " + why
		}
		for _, path := range p.Judge.Inputs() {
			name := strings.Join(path, ".")
			if objects[name] {
				if p.Judge.Reads(append(slices.Clone(path), "x-unheard-of")) {
					f.left[name+".*"] = "all that is in it may be read, and not by name"
				}
				continue
			}
			if !known[name] {
				known[name] = true
				out = append(out, path)
			}
		}
	}
	slices.SortFunc(out, slices.Compare)
	return out
}

// open takes the values of what may be of any type. Those of claims may be lists.
func (f *finder) open(name string, path []string, lists bool) {
	values, plain := f.values(path)
	var out []any
	for _, v := range values {
		switch v := v.(type) {
		case string:
			if out = append(out, v); lists {
				out = append(out, []any{v})
			}
		case json.Number:
			out = append(out, numbers(v)...)
		}
	}
	if demoClaim(path[len(path)-1]) { // has values of its own
		return
	}
	f.u.values[name] = cut(f, name, out, maxValues)
	if (!plain || len(values) == 0) && f.left[name] == "" {
		f.left[name] = "with other values than those that rules and data name"
	}
}

// numbers are a number and those beside it.
func numbers(n json.Number) []any {
	if i, err := strconv.ParseInt(n.String(), 10, 62); err == nil {
		return []any{json.Number(strconv.FormatInt(i-1, 10)), n, json.Number(strconv.FormatInt(i+1, 10))}
	}
	x, err := n.Float64()
	if err != nil {
		return nil
	}
	return []any{json.Number(strconv.FormatFloat(x-1, 'g', -1, 64)), n, json.Number(strconv.FormatFloat(x+1, 'g', -1, 64))}
}

// texts takes the values of an input that is a text or a list of them.
func (f *finder) texts(name string, path []string) {
	values, plain := f.values(path)
	var out []named
	for _, text := range textsOf(values) {
		out = append(out, texted[name](text)...)
	}
	switch f.u.others = append(f.u.others, cut(f, name, out, maxValues)...); {
	case f.left[name] != "":
	case len(out) == 0:
		f.left[name] = ""
	case !plain:
		f.left[name] = "with other values than those that rules and data name"
	}
}

var plainPath = regexp.MustCompile(`^/?[A-Za-z0-9_-][A-Za-z0-9._-]*(/[A-Za-z0-9_-][A-Za-z0-9._-]*)*/?$`)

// pathsOf takes paths that stand in rules: of text that is a path, and of
// segments that are compared.
func (f *finder) pathsOf(path []string) {
	for i := range f.policies {
		for _, r := range f.rules[i] {
			for _, s := range textsOf(r.values) {
				if r.reads(path) && plainPath.MatchString(s) && (path[0] == "parsed_path" || s[0] == '/') {
					s = "/" + strings.Trim(s, "/")
					f.paths[s], f.paths[s+"/x"] = true, true
				}
			}
		}
	}
	f.left[strings.Join(path, ".")] = "with other paths than those that rules and data name"
}

// clock takes hours and instants that stand in rules which look at the clock.
func (f *finder) clock() {
	f.u.Hours = cut(f, "hours", f.u.Hours, maxHours)
	known := map[int64]bool{}
	at := func(t time.Time) {
		for _, t := range []time.Time{t.Add(-time.Second), t, t.Add(time.Second)} {
			if !known[t.Unix()] {
				known[t.Unix()] = true
				f.u.instants = append(f.u.instants, t)
			}
		}
	}
	reads := false
	for i, p := range f.policies {
		reads = reads || p.Modules == nil
		for _, r := range f.rules[i] {
			if strings.Contains(r.text, "time.now_ns") {
				reads = true
			}
			zone := f.u.Hours[0].Zone
			for _, s := range textsOf(r.values) {
				if z, err := time.LoadLocation(s); err == nil && r.calls["time.clock"] {
					zone = z
				}
				if t, err := time.Parse(time.RFC3339, s); err == nil {
					at(t)
				}
			}
			for _, v := range r.values {
				n, number := v.(json.Number)
				if hour, err := n.Int64(); number && err == nil && hour >= 0 && hour < 24 && r.calls["time.clock"] {
					h := Hours{Zone: zone}
					at(h.clock(time.Wednesday, time.Duration(hour)*time.Hour))
				}
			}
		}
	}
	slices.SortStableFunc(f.u.instants, time.Time.Compare)
	f.u.instants = cut(f, "instants", f.u.instants, maxInstants)
	if reads {
		f.left[clockInput] = "at other instants than the edges of hours, the days of one week and what rules name"
	}
}

const clockInput = "time.now_ns"

// say puts what is left out into words.
func (f *finder) say() {
	var changed [][]string
	clock, all := false, false
	for i := 1; i < len(f.policies); i++ {
		old, now := &f.policies[0], &f.policies[i]
		paths, c := touched(old, now)
		changed, clock = append(changed, paths...), clock || c
		if old.Modules == nil || now.Modules == nil {
			all = old.Judge.Program().Revision() != now.Judge.Program().Revision()
		}
	}
	for _, name := range slices.Sorted(maps.Keys(f.left)) {
		text := name
		bound := name == "hours" || name == "instants" || name == "roles" || name == "routes" || strings.HasPrefix(name, "paths of ")
		if name != clockInput && !bound {
			text = "input." + name
		}
		if why := f.left[name]; why != "" {
			text += ": " + why
		}
		f.u.Unexplored = append(f.u.Unexplored, text)
		read := slices.ContainsFunc(changed, func(p []string) bool {
			joined := strings.Join(p, ".")
			whole := strings.TrimSuffix(name, "*")
			return joined == "" || joined == name || strings.HasPrefix(joined+".", whole) || strings.HasPrefix(name, joined+".")
		})
		if all || !bound && read && name != clockInput || name == clockInput && clock || name == "*" || bound && len(changed) > 0 {
			f.u.Relevant = append(f.u.Relevant, text)
		}
	}
}

// prefixEnds are the first and the last address of a range, or the address.
func prefixEnds(text string) (out []netip.Addr) {
	if a, err := netip.ParseAddr(text); err == nil {
		return []netip.Addr{a}
	}
	p, err := netip.ParsePrefix(text)
	if err != nil {
		return nil
	}
	p = p.Masked()
	last := p.Addr().AsSlice()
	for i := range last {
		for bit := range 8 {
			if 8*i+bit >= p.Bits() {
				last[i] |= 0x80 >> bit
			}
		}
	}
	end, _ := netip.AddrFromSlice(last) // 4 or 16 bytes
	return []netip.Addr{p.Addr(), end}
}
