package attack

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/neosc/gate/test/kit"
)

// strain are the cases that a gate with its own limits meets alone, since they
// look at its time, its memory and its budgets.
var strain = []attack{{"L1", unknownUsers}, {"L2", parallelGuesses}, {"L9", hundredHashes}, {"H14", hugeHeaders}}

// H14: what is too large is refused at the door, and what is just not costs no
// memory that stays.
func hugeHeaders(t *testing.T, s *siege) {
	huge := map[string]request{
		"64 KiB in one":      {header: []string{"X-Big: " + strings.Repeat("a", 64<<10)}},
		"64 KiB in sixty":    {header: repeated("X-Big: "+strings.Repeat("a", 1100), 60)},
		"64 KiB of a cookie": {header: []string{"Cookie: _pomerium=" + strings.Repeat("a", 64<<10)}},
		"1,000 cookies":      {header: []string{"Cookie: " + strings.Repeat("_pomerium="+strings.Repeat("a", 40)+"; ", 1000)}},
		"1,000 tiny cookies": {header: []string{"Cookie: " + strings.Repeat("a=b; ", 1000)}},
		"1,300 of ours":      {header: []string{"Cookie: " + strings.Repeat("_pomerium=aaaaaaaaaa; ", 1300)}},
		"1,000 cookie lines": {header: repeated("Cookie: _pomerium=a", 1000)},
		"1,000 headers":      {header: repeated("X-Many: a", 1000)},
		"a path of 64 KiB":   {target: "/" + strings.Repeat("a", 64<<10)},
	}
	just := []request{
		{header: []string{"Cookie: " + strings.Repeat("_pomerium=aaaaaaaaaa; ", 290)}}, {header: []string{"Cookie: " + strings.Repeat("a=b; ", 290)}},
		{header: []string{"Cookie: _pomerium=v1.a." + strings.Repeat("b", 28<<10)}}, {header: []string{"User-Agent: " + strings.Repeat("u", 28<<10)}}, {target: "/" + strings.Repeat("a/", 7<<10)},
		{target: "/?" + strings.Repeat("a=b&", 3<<10)}, {header: []string{"Authorization: Bearer " + strings.Repeat("t", 28<<10)}},
	}
	send := func(r request) (out []answer) {
		r.method, r.host = "GET", s.host("portal")
		if r.target == "" {
			r.target = "/"
		}
		r.header = with(program, r.header...)
		s.both(t, r, func(_ string, a answer) { out = append(out, a) })
		return out
	}
	flood := func(times int) {
		for range times {
			for what, r := range huge {
				for _, a := range send(r) {
					// Over HTTP/2 the edge may end the connection at once.
					s.refused(t, what, a, 0, http.StatusRequestHeaderFieldsTooLarge)
				}
			}
			for _, r := range just {
				for _, a := range send(r) {
					if a.status != http.StatusUnauthorized && a.status != http.StatusBadRequest && a.status != http.StatusTooManyRequests {
						t.Errorf("a request of just the size got %d: %.80q %.40q", a.status, r.header, r.target)
					}
				}
			}
		}
	}
	flood(2) // what is allocated once
	before := s.resident(t)
	most := s.peak(t, func() { flood(20) })
	if grown := most - before; grown > memory(48<<20) {
		t.Errorf("%d MiB more are held after floods of headers", grown>>20)
	}
}

func repeated(line string, n int) []string {
	out := make([]string, n)
	for i := range out {
		out[i] = line
	}
	return out
}

// idleSessionsEnd is S6 where sessions end after 8 s without use: used ones do
// not, and an end that was reached is for good.
func idleSessionsEnd(t *testing.T, s *siege) {
	used, _ := s.create(t, "-email", "used@"+kit.Domain, "-role", "admin", "-claim", "neosc:demo_session_id=x")
	idle, _ := s.create(t, "-email", "idle@"+kit.Domain, "-role", "admin", "-claim", "neosc:demo_session_id=x")
	if !s.lives(t, idle) {
		t.Error("a fresh session is dead")
	}
	for end := time.Now().Add(8500 * time.Millisecond); time.Now().Before(end); time.Sleep(250 * time.Millisecond) {
		if !s.lives(t, used) {
			t.Fatal("a session ended while it was used")
		}
	}
	s.dead(t, "a session after its idle time", idle)
	s.dead(t, "a session after its idle time, sealed anew", s.resealed(t, idle, 8*time.Hour))
}
