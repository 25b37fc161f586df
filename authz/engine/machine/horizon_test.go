package machine

import (
	"context"
	"testing"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"
)

// The result at any instant before the horizon is the one that was given.
func TestShippedPolicyHoldsUntilItsHorizon(t *testing.T) {
	p, c := shipped(t, nil), newChooser(3)
	n := 1500
	if testing.Short() {
		n = 300
	}
	for range n {
		input, at := c.input(), c.instant()
		v, h := p.run(t, input, at)
		if !h.Cacheable(at) {
			t.Fatalf("%v is not cacheable at %v", h, at)
		}
		c.within(t, p, input, v, at, h)
	}
}

// within asks again at instants up to the horizon, the last one included.
func (c chooser) within(t *testing.T, p pair, input any, v *Value, at time.Time, h Horizon) {
	t.Helper()
	until := min(h.Until, at.UnixNano()+int64(400*24*time.Hour))
	room := until - at.UnixNano()
	for _, d := range []int64{room - 1, c.Int64N(room), c.Int64N(min(room, int64(time.Second)))} {
		later := time.Unix(0, at.UnixNano()+d)
		want := p.want(t, input, later)
		if v == nil && want == nil {
			continue
		}
		if v == nil || want == nil || asJSON(t, v).Compare(want) != 0 {
			t.Fatalf("at %v until %v: %v, but at %v: %v", at, time.Unix(0, h.Until), v.AST(), later, want)
		}
	}
}

// clocks are rules that use the clock in every way that is followed, and in
// ways that are not.
const clocks = `
import rego.v1
p := {
	"clock": [x | x := input.x; time.clock([time.now_ns(), input.zone]) >= [8, 30, 0]],
	"before": [x | x := input.x; time.clock([time.now_ns(), input.zone]) < [17, 45, 30]],
	"day": day,
	"date": [x | x := input.x; time.date([time.now_ns(), input.zone])[2] == 8],
	"age": [x | x := input.x; time.now_ns() - input.at > 3600000000000],
	"soon": [x | x := input.x; time.now_ns() + 60000000000 >= input.at],
	"at": [x | x := input.x; input.at == time.now_ns()],
	"not": [x | x := input.x; input.at != time.now_ns()],
	"utc": [x | x := input.x; time.weekday(time.now_ns()) in {"Sunday", "Monday"}],
	"ahead": [x | x := input.x; time.clock([time.now_ns() + 5400000000000, input.zone]) >= [8, 30, 0]],
	"behind": [x | x := input.x; time.clock([time.now_ns() - 5400000000000, input.zone])[0] in [1, 3, 5, 7, 9, 11, 13, 15]],
	"tomorrow": time.weekday([time.now_ns() + 86400000000000, input.zone]),
	"zero": time.now_ns() - time.now_ns(),
	"most": [x | x := input.x; hour := time.clock([time.now_ns(), input.zone])[0]; hour in [6, 7, 8]],
	"word": [x | x := input.x; {"Sunday": 1, "Thursday": 2}[time.weekday([time.now_ns(), input.zone])]],
	"call": f(time.now_ns()),
}
default day := "none"
day := "work" if time.weekday([time.now_ns(), input.zone]) in {"Monday", "Tuesday", "Wednesday", "Thursday", "Friday"}
else := "free" if time.weekday([time.now_ns(), input.zone]) == "Sunday"
f(t) := "late" if t > input.at
else := "early"
`

func TestHorizonsOfClocks(t *testing.T) {
	p := programPair(t, clocks)
	c := newChooser(5)
	zones := []any{"UTC", "America/Mexico_City", "Asia/Kolkata", "Asia/Kathmandu", "America/New_York", "Europe/Berlin",
		"Australia/Lord_Howe", "Pacific/Chatham", "America/St_Johns", "Pacific/Apia"}
	bases := []time.Time{epoch, time.Date(2026, 3, 8, 6, 59, 0, 0, time.UTC), time.Date(2026, 11, 1, 5, 59, 0, 0, time.UTC),
		time.Date(2026, 3, 29, 0, 59, 0, 0, time.UTC), time.Date(2026, 4, 4, 14, 59, 0, 0, time.UTC), time.Date(1969, 12, 31, 23, 0, 0, 0, time.UTC),
		time.Date(2011, 12, 29, 23, 0, 0, 0, time.UTC)}
	n := 1000
	if testing.Short() {
		n = 200
	}
	for range n {
		at := bases[c.IntN(len(bases))].Add(time.Duration(c.Int64N(int64(4*time.Hour))) - 2*time.Hour)
		input := map[string]any{"x": 1, "zone": c.one(zones...), "at": at.UnixNano() + c.Int64N(int64(3*time.Hour)) - int64(time.Hour)}
		if c.IntN(10) == 0 {
			input["at"] = at.UnixNano()
		}
		v, h := p.agree(t, input, at)
		if !h.Cacheable(at) || !h.ReadsClock || h.Volatile {
			t.Fatalf("horizon %+v at %d", h, at.UnixNano())
		}
		c.within(t, p, input, v, at, h)
	}
}

func TestHorizonsThatNarrow(t *testing.T) {
	for name, x := range map[string]struct {
		module string
		want   time.Duration // from now; 0 is not cacheable, -1 forever
	}{
		"no clock":       {`p := 1`, -1},
		"clock unused":   {"p := 1 if time.now_ns() > 0", -1},
		"text":           {`p := sprintf("%d", [time.now_ns()])`, 0},
		"given":          {`p := time.now_ns()`, 0},
		"within":         {`p := {"now": [time.now_ns()]}`, 0},
		"key":            {`p := {"x": 1}[format_int(time.now_ns(), 10)]`, 0},
		"expiry":         {`p := time.now_ns() < time.parse_rfc3339_ns("2026-03-05T12:30:00Z")`, time.Minute},
		"passed":         {`p := time.now_ns() < time.parse_rfc3339_ns("2026-03-05T12:00:00Z")`, -1},
		"hour":           {`p := time.clock(time.now_ns()) > [8, 0, 0]`, 11*time.Hour + 31*time.Minute},
		"hour alone":     {`p := time.clock(time.now_ns())[0] > 8`, 31 * time.Minute},
		"hour to come":   {`p := time.clock(time.now_ns()) >= [20, 0, 0]`, 7*time.Hour + 31*time.Minute},
		"turned":         {`p := [20, 0, 0] > time.clock(time.now_ns())`, 7*time.Hour + 31*time.Minute},
		"second":         {`p := time.clock(time.now_ns()) < [12, 29, 30]`, 30 * time.Second},
		"this second":    {`p := time.clock(time.now_ns()) == [12, 29, 0]`, time.Second},
		"no time":        {`p := time.clock(time.now_ns()) < [12, 29, 99]`, time.Second},
		"two of three":   {`p := time.clock(time.now_ns()) < [12, 30]`, time.Minute},
		"date":           {`p := time.date([time.now_ns(), "Asia/Kolkata"]) < [2026, 4, 1]`, 6*time.Hour + time.Minute},
		"weekday":        {`p := time.weekday([time.now_ns(), "America/St_Johns"]) == "Monday"`, 15*time.Hour + time.Minute},
		"day":            {`p := time.weekday(time.now_ns())`, 11*time.Hour + 31*time.Minute},
		"scaled":         {`p := time.now_ns() / 1000000000 > 5`, 0},
		"in the set":     {`p := {time.now_ns() | true}`, 0},
		"half hour zone": {`p := time.clock([time.now_ns(), "Asia/Kolkata"])[0]`, time.Minute},
	} {
		p := program(t, x.module, nil, Options{})
		f := p.Frame()
		f.Fill(nullValue)
		_, h, _ := p.Run(context.Background(), f, epoch)
		want := epoch.UnixNano() + int64(x.want)
		if x.want < 0 {
			want = forever
		}
		if h.Until != want {
			t.Errorf("%s: %v, want %v", name, time.Duration(h.Until-epoch.UnixNano()), x.want)
		}
	}
}

func TestVolatile(t *testing.T) {
	for _, module := range []string{
		`p := rand.intn("x", 5)`, `p := uuid.rfc4122("x")`, `p := io.jwt.decode_verify("a.b.c", {"secret": "x"})`,
		`p := io.jwt.encode_sign({"alg": "HS256"}, {}, {"kty": "oct", "k": "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow"})`,
	} {
		p := program(t, module, nil, Options{})
		f := p.Frame()
		if _, h, _ := p.Run(context.Background(), f, epoch); !h.Volatile || h.Cacheable(epoch) {
			t.Errorf("%s: %+v", module, h)
		}
	}
}

func TestDefaultBuiltinsAreKnown(t *testing.T) {
	if volatile(ast.StartsWith) || !volatile(&ast.Builtin{Name: "ours.own"}) {
		t.Error("what OPA does not bring is volatile")
	}
}

// What the shipped policies say of the clock holds for as long as it can: hours,
// where no demo ends before.
func TestShippedHorizonsAreUseful(t *testing.T) {
	p, inputs := shipped(t, nil).program, benchInputs()
	mexico, err := time.LoadLocation("America/Mexico_City")
	if err != nil {
		t.Fatal(err)
	}
	at := func(day, hour, minute, second int) time.Time {
		return time.Date(2026, 3, day, hour, minute, second, 0, mexico)
	}
	session := inputs["PortalAllSettings"]["session"].(map[string]any)
	for name, x := range map[string]struct {
		input     string
		claims    map[string]any
		now, want time.Time
	}{
		"open until the evening":    {"PortalAllSettings", nil, at(4, 12, 0, 5), at(4, 20, 0, 0)},
		"closed until the morning":  {"PortalAllSettings", nil, at(4, 7, 10, 5), at(4, 8, 0, 0)},
		"closed until midnight":     {"PortalAllSettings", nil, at(4, 20, 0, 1), at(5, 0, 0, 0)},
		"closed for the Sunday":     {"PortalAllSettings", nil, at(8, 12, 0, 0), at(9, 0, 0, 0)},
		"a demo that ends at noon":  {"PortalAllSettings", map[string]any{"neosc:demo_expires_at": "2026-03-04T18:00:00Z"}, at(4, 11, 0, 5), at(4, 12, 0, 0)},
		"no hours kept":             {"APIRead", nil, at(4, 12, 0, 5), time.Unix(0, forever)},
		"demo elsewhere than hours": {"WorkspaceDemo", nil, at(4, 12, 0, 5), time.Date(2026, 3, 4, 18, 30, 0, 0, time.UTC)},
	} {
		if x.claims != nil || x.input == "PortalAllSettings" {
			session["claims"] = x.claims
		}
		in, err := Of(inputs[x.input])
		if err != nil {
			t.Fatal(err)
		}
		f := p.Frame()
		f.Fill(in)
		_, h, err := p.Run(context.Background(), f, x.now)
		if err != nil || h.Until != x.want.UnixNano() {
			t.Errorf("%s: until %v, want %v, %v", name, time.Unix(0, h.Until).In(mexico), x.want, err)
		}
	}
}
