package demo

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/neosc/gate/session"
)

func TestFinalStatesLeadNowhere(t *testing.T) {
	t.Parallel()
	all := []session.GrantStatus{session.GrantPending, session.GrantStarting, session.GrantActive, session.GrantExpired, session.GrantRevoked, session.GrantFailed, session.GrantRefused}
	legal := 0
	for _, s := range all {
		if s.Ended() == slices.Contains(live, s) {
			t.Errorf("%s is both live and over, or neither", s)
		}
		for _, m := range []move{approve, refuse, ready, expire, revoke, fail, extend} {
			to, err := after(s, m)
			if err == nil {
				legal++
			}
			if s.Ended() && err == nil || err != nil && (to != s || !errors.Is(err, session.ErrDemoState)) {
				t.Errorf("%s by %s: %s, error %v", s, m, to, err)
			}
		}
	}
	if legal != 9 {
		t.Errorf("%d legal moves, want 9", legal)
	}
}

// machine is a grant's way as it should be, against the service on a database
// whose clock stands still unless it is moved.
type machine struct {
	*house
	clock *atomic.Int64 // microseconds
	user  string
	base  []string // the person's own roles
	own   bool     // the person has claims of these names from elsewhere
	sess  *session.Session
	id    string // "" if there is no live grant
	is    session.GrantStatus
	ends  time.Time
	lasts time.Duration
}

var kindsOf = []session.WorkspaceKind{desktop, lab}

func (m *machine) at() time.Time { return time.UnixMicro(m.clock.Load()).UTC() }

// due does all that is due.
func (m *machine) due(t *rapid.T) {
	for range 100 {
		jobs, err := m.claim(context.Background(), 16)
		if err != nil {
			t.Fatal(err)
		}
		if len(jobs) == 0 {
			break
		}
		for _, j := range jobs {
			m.work(context.Background(), j)
		}
	}
	switch {
	case m.is == session.GrantActive && !m.at().Before(m.ends):
		m.is = session.GrantExpired
	case m.is == session.GrantPending && !m.at().Before(m.ends):
		m.is = session.GrantRefused
	}
}

func (m *machine) request(t *rapid.T) {
	k := rapid.SampledFrom(kindsOf).Draw(t, "kind")
	d := time.Duration(rapid.IntRange(1, 1800).Draw(t, "seconds")) * time.Second
	if m.id != "" && !m.is.Ended() {
		return // another kind's would be a second one
	}
	g, err := m.Request(context.Background(), m.sess, session.DemoRequest{WorkspaceType: k.Name, Duration: d})
	if err != nil {
		t.Fatal(err)
	}
	m.id, m.is, m.lasts, m.ends = g.ID, session.GrantActive, d, m.at().Truncate(time.Millisecond).Add(d)
	if k.Approval {
		m.is, m.ends = session.GrantPending, m.at().Add(24*time.Hour)
	}
}

// legal holds an answer against whether the move was one from there.
func (m *machine) legal(t *rapid.T, err error, from ...session.GrantStatus) bool {
	ok := slices.Contains(from, m.is) && (m.is != session.GrantActive || m.at().Before(m.ends))
	if ok != (err == nil) || err != nil && !errors.Is(err, session.ErrDemoState) {
		t.Fatalf("from %s: error %v", m.is, err)
	}
	return ok
}

func (m *machine) decide(t *rapid.T) {
	agree := rapid.Bool().Draw(t, "agree")
	if m.id == "" {
		return
	}
	_, err := m.Decide(context.Background(), m.id, agree, session.Person{ID: "ada"}, "why not")
	switch ok := m.legal(t, err, session.GrantPending); {
	case ok && agree:
		m.is, m.ends = session.GrantActive, m.at().Truncate(time.Millisecond).Add(m.lasts)
	case ok:
		m.is = session.GrantRefused
	}
}

func (m *machine) finish(t *rapid.T) {
	if m.id == "" {
		return
	}
	g, err := m.End(context.Background(), m.id, session.Person{ID: m.user}, "")
	if err != nil {
		t.Fatal(err)
	}
	if !m.is.Ended() {
		m.is = session.GrantRevoked
	}
	if g.Status != m.is {
		t.Fatalf("%s, want %s", g.Status, m.is)
	}
}

func (m *machine) extend(t *rapid.T) {
	by := time.Duration(rapid.IntRange(1, 600).Draw(t, "by")) * time.Second
	if m.id == "" || m.lasts+by > 40*time.Minute {
		return
	}
	_, err := m.Extend(context.Background(), m.id, by, session.Person{ID: "ada"}, "")
	if m.legal(t, err, session.GrantActive) {
		m.lasts, m.ends = m.lasts+by, m.ends.Add(by)
	}
}

func (m *machine) wait(t *rapid.T) {
	m.clock.Add(int64(rapid.SampledFrom([]time.Duration{time.Millisecond, time.Second, time.Minute, 20 * time.Minute, 25 * time.Hour}).Draw(t, "time") / time.Microsecond))
	m.due(t)
}

func (m *machine) signInAgain(*rapid.T) { m.sess = m.begin() }

func (m *machine) begin() *session.Session {
	claims := map[string]any{"sub": m.user}
	if m.own {
		claims[session.ClaimDemoSession], claims[session.ClaimDemoExpires] = "demo-of-the-account", "2099-01-01T00:00:00Z"
	}
	s, _, err := m.sessions.Create(context.Background(), session.Identity{UserID: m.user, Email: m.user + "@example.com", Roles: m.base, Claims: claims}, session.Browser, 0)
	if err != nil {
		m.t.Fatal(err)
	}
	return s
}

// holds compares the grant and the person's session with what they should be.
func (m *machine) holds(t *rapid.T) {
	roles, claim := slices.Clone(m.base), any(nil)
	if m.own {
		claim = "demo-of-the-account"
	}
	if m.id != "" {
		g, err := m.Grant(context.Background(), m.id)
		if err != nil || g.Status != m.is {
			t.Fatalf("%s, want %s, error %v", g.Status, m.is, err)
		}
		if m.is == session.GrantActive && !g.ExpiresAt.Equal(m.ends) {
			t.Fatalf("it ends at %v, want %v", g.ExpiresAt, m.ends)
		}
		if m.is == session.GrantActive {
			claim = m.id
			roles = append(roles, g.Role)
			if !slices.Contains(roles, session.RoleDemo) {
				roles = append(roles, session.RoleDemo)
			}
			slices.Sort(roles)
		}
	}
	id := m.now(m.sess)
	if !slices.Equal(id.Roles, roles) || id.Claims[session.ClaimDemoSession] != claim || id.Claims["sub"] != m.user {
		t.Fatalf("%s: roles %q, want %q; %s, want %v", m.is, id.Roles, roles, id.Claims[session.ClaimDemoSession], claim)
	}
}

// TestGrantsGoTheirWay makes random moves, legal and not, and compares.
func TestGrantsGoTheirWay(t *testing.T) {
	t.Parallel()
	var clock, users atomic.Int64
	clock.Store(time.Date(2026, 3, 5, 10, 15, 30, 0, time.UTC).UnixMicro())
	h := newHouse(t, onSQLite)
	h.store.clock = func() time.Time { return time.UnixMicro(clock.Load()) }
	rapid.Check(t, func(t *rapid.T) {
		m := &machine{house: h, clock: &clock, user: "user" + time.Duration(users.Add(1)).String(), base: rapid.SampledFrom([][]string{{"user"}, {"admin", "demo-user"}, {"demo-user"}, {}}).Draw(t, "roles"), own: rapid.Bool().Draw(t, "own")}
		m.sess = m.begin()
		does := map[string]func(*rapid.T){"request": m.request, "decide": m.decide, "end": m.finish, "extend": m.extend, "wait": m.wait, "sign in again": m.signInAgain}
		// Few steps: each asks a database several times, and there are many rounds.
		m.request(t)
		for _, name := range rapid.SliceOfN(rapid.SampledFrom(slices.Sorted(maps.Keys(does))), 1, 10).Draw(t, "moves") {
			does[name](t)
			m.holds(t)
		}
	})
}
