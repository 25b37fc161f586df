package strictyaml_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/neosc/gate/authz/route/strictyaml"
)

type inner struct {
	strictyaml.Where
	Name string   `yaml:"name,required"`
	Tags []string `yaml:"tags,oneormany"`
}

type outer struct {
	Place   strictyaml.Where
	Listen  string         `yaml:"listen"`
	Secret  string         `yaml:"secret"`
	Count   int            `yaml:"count"`
	Small   uint8          `yaml:"small"`
	Ratio   float64        `yaml:"ratio"`
	On      bool           `yaml:"on"`
	Timeout time.Duration  `yaml:"timeout"`
	Allowed []string       `yaml:"allow_origins"`
	Inner   *inner         `yaml:"inner"`
	Many    []inner        `yaml:"many"`
	Named   map[string]int `yaml:"named"`
	Addr    netip.AddrPort `yaml:"addr"`
	Free    map[string]any `yaml:"free"`
	Ignored string
}

func TestDecodeReadsEveryKindOfValue(t *testing.T) {
	t.Parallel()
	var o outer
	err := strictyaml.Decode("f.yaml", []byte(`
listen: "127.0.0.1:80"
count: -3
small: 255
ratio: 2
on: true
timeout: 1m30s
allow_origins: [a, b]
inner: {name: x, tags: one}
many:
- name: y
  tags: [p, q]
named: {a: 1}
addr: 127.0.0.1:80
free: {a: [1, 2.5, true, null, text, 2020-01-01], b: {c: {}}}
`), &o)
	if err != nil {
		t.Fatal(err)
	}
	if o.Count != -3 || o.Small != 255 || o.Ratio != 2 || !o.On || o.Timeout != 90*time.Second || o.Inner.Tags[0] != "one" ||
		o.Many[0].Tags[1] != "q" || o.Named["a"] != 1 || o.Addr.Port() != 80 {
		t.Errorf("decoded %+v", o)
	}
	if got := fmt.Sprint(o.Free); got != "map[a:[1 2.5 true <nil> text 2020-01-01] b:map[c:map[]]]" {
		t.Errorf("free JSON is %s", got)
	}
	for key, want := range map[string]int{"listen": 2, "allow_origins[1]": 8, "named.a": 13, "missing": 2} {
		if got := o.Place.Line(key); got != want {
			t.Errorf("%s is on line %d, want %d", key, got, want)
		}
	}
	if o.Many[0].Line("tags") != 12 || !o.Place.Has("count") || o.Place.Has("secret") || o.Place.File() != "f.yaml" {
		t.Error("the places of nested keys are lost")
	}
}

func TestEmptyFileKeepsDefaults(t *testing.T) {
	t.Parallel()
	for _, data := range []string{"", "# nothing\n", "---\n", "null\n"} {
		o := outer{Listen: "default"}
		if err := strictyaml.Decode("f", []byte(data), &o); err != nil || o.Listen != "default" {
			t.Errorf("%q gave %v", data, err)
		}
	}
}

func TestErrorsNamePlaceAndMend(t *testing.T) {
	t.Parallel()
	for data, want := range map[string]string{
		"Listen: x":                         `f.yaml:1: unknown key "Listen"; did you mean "listen"?`,
		"\nallowOrigins: []":                `f.yaml:2: unknown key "allowOrigins"; did you mean "allow_origins"?`,
		"tiemout: 3s":                       `f.yaml:1: unknown key "tiemout"; did you mean "timeout"?`,
		"zebra: 1":                          `f.yaml:1: unknown key "zebra"; the keys here are listen, secret`,
		"Ignored: x":                        `f.yaml:1: unknown key "Ignored"; the keys here are`,
		"inner:\n  nmae: x\n  name: y":      `f.yaml:2: inner: unknown key "nmae"; did you mean "name"?`,
		"inner: {tags: [a]}":                `f.yaml:1: inner: the key "name" is missing`,
		"secret: 123":                       `f.yaml:1: secret: expected text (put it in quotes), found a number`,
		"secret:":                           `f.yaml:1: secret: expected text, found nothing`,
		"secret: 2020-01-01":                `f.yaml:1: secret: expected text (put it in quotes), found a date`,
		"secret: [hunter2]":                 `f.yaml:1: secret: expected text, found a list`,
		"count: hunter2":                    `f.yaml:1: count: expected a whole number, found text`,
		"count: 1.5":                        `f.yaml:1: count: expected a whole number, found a number`,
		"small: 256":                        `f.yaml:1: small: expected a whole number, 0 or more`,
		"small: -1":                         `f.yaml:1: small: expected a whole number, 0 or more`,
		"on: yes":                           `f.yaml:1: on: expected true or false, found text`,
		"ratio: .nan":                       `f.yaml:1: ratio: expected a number`,
		"timeout: 30":                       `f.yaml:1: timeout: expected a duration such as "30s"`,
		"timeout: -3s":                      `f.yaml:1: timeout: expected a duration`,
		"timeout: {}":                       `f.yaml:1: timeout: expected a duration`,
		"allow_origins: x":                  `f.yaml:1: allow_origins: expected a list, found text`,
		"many:\n- name: x\n- name: [y]":     `f.yaml:3: many[1].name: expected text, found a list`,
		"inner: x":                          `f.yaml:1: inner: expected a mapping (key: value), found text`,
		"listen: a\nlisten: b":              `f.yaml:2: the key "listen" is given twice, first on line 1`,
		"free: {a: 1, a: 2}":                `f.yaml:1: free: the key "a" is given twice`,
		"free: {x: 99999999999999999999}":   `f.yaml:1: free.x: expected a finite number`,
		"1: x":                              `f.yaml:1: a key must be text`,
		"listen: a\n---\nlisten: b":         `f.yaml:2: a second document begins here`,
		"listen: &a x\nsecret: *a":          `f.yaml:1: listen: anchors and aliases`,
		"inner: {<<: {name: x}}":            `f.yaml:1: inner: a key must be text`,
		"listen: !!binary aGk=":             `f.yaml:1: listen: tags (!) are not allowed`,
		"listen: [":                         `this is no valid YAML`,
		"listen: \x00":                      `this is no valid YAML`,
		"addr: nowhere":                     `f.yaml:1: addr: `,
		"- a":                               `f.yaml:1: the file: expected a mapping`,
		"free: " + strings.Repeat("[", 100): `this is no valid YAML`,
		"free: {a: " + strings.Repeat("[", 100) + strings.Repeat("]", 100) + "}": `nested more than 32 deep`,
		strings.Repeat("#", strictyaml.MaxSize) + "\n":                           `the limit is 8388608`,
	} {
		var o outer
		err := strictyaml.Decode("f.yaml", []byte(data), &o)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.60q gave %v, want %s", data, err, want)
		} else if strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%.60q: a value is in the error %v", data, err)
		}
	}
}

func TestProblemsAreGatheredUpToTen(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	for i := range 14 {
		fmt.Fprintf(&b, "k%d: 1\n", i)
	}
	var o outer
	err := strictyaml.Decode("f", []byte(b.String()), &o)
	var all *strictyaml.Errors
	if !errors.As(err, &all) || len(all.Problems) != strictyaml.MaxProblems || all.More != 4 {
		t.Fatalf("got %v", err)
	}
	if lines := strings.Split(err.Error(), "\n"); len(lines) != 11 || lines[10] != "and 4 more" || !strings.HasPrefix(lines[3], "f:4: ") {
		t.Errorf("the message is\n%v", err)
	}
}

func TestDecodeNeedsAStruct(t *testing.T) {
	t.Parallel()
	for _, into := range []any{nil, outer{}, new(int), (*outer)(nil)} {
		if err := strictyaml.Decode("f", nil, into); err == nil {
			t.Errorf("%T was taken", into)
		}
	}
}

func TestNearestFindsWhatWasMeant(t *testing.T) {
	t.Parallel()
	keys := []string{"timeout", "idle_timeout", "upstream", "upstreams", "set_headers"}
	for word, want := range map[string]string{
		"Timeout": "timeout", "timout": "timeout", "idle-timeout": "idle_timeout", "setHeader": "set_headers", "upstraem": "upstream",
		"x": "", "": "", "route": "", strings.Repeat("timeout", 20): "",
	} {
		if got, _ := strictyaml.Nearest(word, keys); got != want {
			t.Errorf("%q is nearest to %q, want %q", word, got, want)
		}
	}
}

// Whatever the bytes are: no panic, one-line problems with lines inside the
// file, and what is accepted as free JSON is JSON.
func FuzzDecode(f *testing.F) {
	for _, s := range []string{"listen: x", "free: {a: [1, null]}", "many: [{name: a, tags: b}]", "a: &a [*a]", "? {a: b}\n: c", "free: {a: 1e999}", "\"\\0\": 1", "free: {? : x}"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var o outer
		err := strictyaml.Decode("f", data, &o)
		if err == nil {
			if _, err := json.Marshal(o.Free); err != nil {
				t.Fatal(err)
			}
			return
		}
		var all *strictyaml.Errors
		if !errors.As(err, &all) {
			t.Fatalf("%T is no *Errors", err)
		}
		lines := strings.Count(string(data), "\n") + strings.Count(string(data), "\r") + strings.Count(string(data), "\u0085") +
			strings.Count(string(data), "\u2028") + strings.Count(string(data), "\u2029") + 2
		for _, p := range all.Problems {
			if p.Line < 0 || p.Line > lines || strings.Contains(p.Text, "\n") {
				t.Fatalf("problem %+v in a file of %d lines", p, lines)
			}
		}
	})
}
