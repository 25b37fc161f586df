package route

import (
	"slices"
	"strings"
	"testing"
	"time"
)

// shielded is a small routes file with a shields key, "" for none.
func shielded(shields string) string {
	return "gate: https://gate.test\n" + shields + "upstreams: {a: \"a:1\"}\nhosts:\n- origin: https://gate.test\n  routes:\n  - {name: gate, prefix: /, upstream: gate}\n"
}

func TestShieldsHaveDefaults(t *testing.T) {
	for text, want := range map[string]func(*Shields){
		"":                                     func(*Shields) {},
		"shields: {}\n":                        func(*Shields) {},
		"shields: {requests_per_second: 50}\n": func(s *Shields) { s.Requests, s.Burst = 50, 200 },
		"shields: {requests_per_second: 0}\n":  func(s *Shields) { s.Requests, s.Burst = 0, 1 },
		"shields: {requests_per_second: 50, burst: 50, addresses: 100, connections: 10, streams: 1, checks: 16, header_timeout: 1s, idle_timeout: 5m}\n": func(s *Shields) {
			*s = Shields{50, 50, 100, 10, 1, 16, time.Second, 5 * time.Minute}
		},
	} {
		f, err := Parse("routes.yaml", []byte(shielded(text)))
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		s := defaultShields
		want(&s)
		if f.Shields() != s {
			t.Errorf("%q gives %+v, want %+v", text, f.Shields(), s)
		}
	}
}

func TestShieldsOutOfRangeAreRefused(t *testing.T) {
	for text, want := range map[string]string{
		"requests_per_second: 2000000": "use 0 to 1000000", "burst: 0": "use 1 to 4000000", "burst: 499": "less than a second's 500",
		"addresses: 1": "use 100 to", "connections: 9": "use 10 to", "streams: 0": "use 1 to 1000", "checks: 1": "use 16 to",
		"header_timeout: 0s": "use 100ms to 1m", "idle_timeout: 2h": "use 1s to 1h", "request_per_second: 5": "requests_per_second",
	} {
		_, err := Parse("routes.yaml", []byte(shielded("shields: {"+text+"}\n")))
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "routes.yaml:2") {
			t.Errorf("%s: %v, want %q at line 2", text, err, want)
		}
	}
}

// TestShieldsNeedARestart since they lie in Envoy's listener.
func TestShieldsNeedARestart(t *testing.T) {
	old, err := Parse("routes.yaml", []byte(shielded("")))
	if err != nil {
		t.Fatal(err)
	}
	next, err := Parse("routes.yaml", []byte(shielded("shields: {addresses: 200}\n")))
	if err != nil {
		t.Fatal(err)
	}
	if keys := old.NeedsRestart(next); !slices.Equal(keys, []string{"shields"}) || old.ListenerRevision() == next.ListenerRevision() {
		t.Errorf("a change of the shields needs a restart for %q", keys)
	}
	if changes := old.Diff(next); len(changes) != 1 || changes[0].Name != "shields" {
		t.Errorf("the difference is %+v", changes)
	}
}
