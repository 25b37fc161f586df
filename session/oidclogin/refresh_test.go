package oidclogin

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"

	"github.com/neosc/gate/session"
)

// rotating is the token endpoint of a provider that gives a new refresh token
// with each refresh, and ends everything when an old one comes.
type rotating struct {
	h         *hostile
	mu        sync.Mutex
	current   string
	refreshes int
	reused    int
	noID      bool
	// before, if set, is called with the number of a refresh, without the lock,
	// before it is looked at; after it, the answer is cut off if it says so.
	before func(n int) (cut bool)
	claims map[string]any // changes of the ID token's
}

func rotate(h *hostile) *rotating {
	p := &rotating{h: h}
	h.answer["/token"] = p.ServeHTTP
	return p
}

func (p *rotating) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.PostForm.Get("grant_type") == "refresh_token" {
		p.mu.Lock()
		p.refreshes++
		n := p.refreshes
		p.mu.Unlock()
		if p.before != nil && p.before(n) {
			if c, _, err := http.NewResponseController(w).Hijack(); err == nil {
				_ = c.Close()
			}
			return
		}
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.current == "" || r.PostForm.Get("refresh_token") != p.current {
			p.reused++
			p.current = ""
			w.WriteHeader(http.StatusBadRequest)
			fmt.Fprint(w, `{"error":"invalid_grant"}`)
			return
		}
	} else {
		p.mu.Lock()
		defer p.mu.Unlock()
	}
	p.current = random()
	c := maps.Clone(p.h.claims)
	c["iat"], c["exp"] = p.h.now().Unix(), p.h.now().Add(time.Hour).Unix()
	maps.Copy(c, p.claims)
	id := fmt.Sprintf(`,"id_token":%q`, p.h.sign(c))
	if p.noID && p.refreshes > 0 {
		id = ""
	}
	fmt.Fprintf(w, `{"access_token":%q,"token_type":"Bearer","expires_in":3600,"refresh_token":%q%s}`, random(), p.current, id)
}

func (p *rotating) sent() (refreshes, reused int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.refreshes, p.reused
}

// due is when a refresh of what rotating gives is due.
const due = 48 * time.Minute

// refreshing is a rig with a rotating provider, a session and a gate that
// refreshes it.
func refreshing(t *testing.T, change func(*Options)) (*rig, *rotating, *session.Login) {
	t.Helper()
	r := newRig(t, change)
	p := rotate(r.idp)
	l, err := r.signIn(t)
	if err != nil {
		t.Fatal(err)
	}
	return r.replica(t), p, l
}

// settle makes a request and waits until what it set off is over. It reports
// the session, nil if there is none.
func (r *rig) settle(t *testing.T, cookie string) *session.Session {
	t.Helper()
	s, err := r.sessions.ByCookies(t.Context(), []string{cookie}, r.clock.Now())
	if err != nil && !errors.Is(err, session.ErrInvalid) {
		t.Fatal(err)
	}
	if err := r.flights.wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	return s
}

func TestAStormOfRequestsMakesOneRefresh(t *testing.T) {
	t.Parallel()
	r, p, l := refreshing(t, nil)
	storm(t, []*rig{r, r.replica(t), r.replica(t)}, p, l)
}

// storm sends a hundred requests at once to three gates, over which a refresh is
// due, twice.
func storm(t *testing.T, gates []*rig, p *rotating, l *session.Login) {
	t.Helper()
	r := gates[0]
	for round := 1; round <= 2; round++ {
		role := fmt.Sprint("round", round)
		p.claims = map[string]any{"roles": []string{role}}
		answered := make(chan struct{})
		p.before = func(int) bool { <-answered; return false }
		r.clock.add(due)
		var requests sync.WaitGroup
		for i := range 100 {
			requests.Go(func() {
				_, err := gates[i%3].sessions.ByCookies(t.Context(), []string{l.Cookie}, r.clock.Now())
				if err != nil {
					t.Errorf("a request failed while the refresh was under way: %v", err)
				}
			})
		}
		requests.Wait() // though the provider has not answered
		close(answered)
		for _, g := range gates {
			if err := g.flights.wait(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		r.clock.add(lockLife)
		for _, g := range gates {
			if s := g.settle(t, l.Cookie); s == nil || !slices.Equal(s.Identity.Roles, []string{role}) || s.Fence != uint64(round) {
				t.Errorf("%+v, want the role %s", s, role)
			}
		}
		if n, reused := p.sent(); n != round || reused != 0 {
			t.Errorf("%d refreshes, %d with a token used before, after %d rounds", n, reused, round)
		}
	}
}

func TestRolesAndClaimsFollow(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		noID         bool
		id, userinfo map[string]any
		want         []string
	}{
		"Changed":           {id: map[string]any{"roles": []string{"user"}, "locale": "es"}, want: []string{"user"}},
		"TakenAway":         {id: map[string]any{"roles": nil, "locale": "es"}},
		"OnlyUserinfoKnows": {noID: true, userinfo: map[string]any{"sub": "s1", "roles": []string{"user"}, "locale": "es"}, want: []string{"user"}},
		"UserinfoSaysNone":  {noID: true, userinfo: map[string]any{"sub": "s1", "locale": "es"}},
		"WithoutANonce":     {id: map[string]any{"nonce": nil, "roles": []string{"user"}, "locale": "es"}, want: []string{"user"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, p, l := refreshing(t, func(o *Options) { o.Providers[0].MaxAge = 0 })
			p.noID, p.claims = c.noID, c.id
			if c.userinfo != nil {
				r.idp.userinfo = c.userinfo
			}
			r.clock.add(due)
			if s := r.settle(t, l.Cookie); !slices.Equal(s.Identity.Roles, []string{"neosc"}) {
				t.Errorf("the request that set it off did not go on with the roles it had: %v", s.Identity.Roles)
			}
			s := r.settle(t, l.Cookie)
			if s == nil || !slices.Equal(s.Identity.Roles, c.want) || s.Identity.Claims["locale"] != "es" {
				t.Fatalf("%+v", s)
			}
			if !s.Identity.AuthenticatedAt.Equal(noon) || !s.RefreshAt.Equal(r.clock.Now().Add(due)) || !s.ExpiresAt.Equal(l.Session.ExpiresAt) {
				t.Errorf("authenticated %s, refresh at %s, ends %s", s.Identity.AuthenticatedAt, s.RefreshAt, s.ExpiresAt)
			}
		})
	}
}

func TestMaxAgeEndsNoRefresh(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(o *Options) { o.Providers[0].MaxAge = time.Minute })
	r.idp.claims["auth_time"] = noon.Unix()
	rotate(r.idp)
	l, err := r.signIn(t)
	if err != nil {
		t.Fatal(err)
	}
	g := r.replica(t)
	r.clock.add(due)
	g.settle(t, l.Cookie)
	if s := g.settle(t, l.Cookie); s == nil || s.Fence != 1 {
		t.Errorf("%+v", s)
	}
}

func TestWhatARefreshMaySayEndsTheSession(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*rig, *rotating){
		"AnotherUser":          func(_ *rig, p *rotating) { p.claims = map[string]any{"sub": "s2"} },
		"AnotherUsersUserinfo": func(r *rig, p *rotating) { p.noID = true; r.idp.userinfo = map[string]any{"sub": "s2"} },
		"AnotherNonce":         func(_ *rig, p *rotating) { p.claims = map[string]any{"nonce": "n"} },
		"AnotherAudience":      func(_ *rig, p *rotating) { p.claims = map[string]any{"aud": "another"} },
		"ForeignOrganization":  func(_ *rig, p *rotating) { p.claims = map[string]any{"org": "O2"} },
		"RoleWithAComma":       func(_ *rig, p *rotating) { p.claims = map[string]any{"roles": []string{"a,b"}} },
		"TokenUsedElsewhere":   func(_ *rig, p *rotating) { p.current = "a thief's" },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, func(o *Options) { o.Providers[0].Organizations = []string{"O1"} })
			r.idp.claims["org"] = "O1"
			p := rotate(r.idp)
			l, err := r.signIn(t)
			if err != nil {
				t.Fatal(err)
			}
			one, two := r.replica(t), r.replica(t)
			if !two.live(t, l.Cookie) {
				t.Fatal("no session")
			}
			change(r, p)
			r.clock.add(due)
			one.settle(t, l.Cookie)
			if one.live(t, l.Cookie) || two.live(t, l.Cookie) {
				t.Error("the session lives on")
			}
		})
	}
}

func TestRefusalsOfARefresh(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		status        int
		body          string
		live, retried bool
	}{
		"InvalidGrant":      {400, `{"error":"invalid_grant"}`, false, false},
		"ZitadelsRefusal":   {400, `{"error":"invalid_request","error_description":"Errors.OIDCSession.RefreshTokenInvalid"}`, false, false},
		"InvalidRequest":    {400, `{"error":"invalid_request"}`, true, true},
		"InvalidClient":     {401, `{"error":"invalid_client"}`, true, true},
		"TooManyRequests":   {429, `{}`, true, true},
		"NotReady":          {503, ``, true, true},
		"BrokenGateway":     {502, ``, true, false},
		"BrokenProvider":    {500, `{"error":"server_error"}`, true, false},
		"AnswerOfNoUse":     {200, `<html>`, true, false},
		"AnswerWithoutType": {200, `{"access_token":"a"}`, true, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, _, l := refreshing(t, nil)
			var calls atomic.Int32
			r.idp.mu.Lock()
			r.idp.answer["/token"] = func(w http.ResponseWriter, _ *http.Request) {
				calls.Add(1)
				w.WriteHeader(c.status)
				fmt.Fprint(w, c.body)
			}
			r.idp.mu.Unlock()
			r.clock.add(due)
			r.settle(t, l.Cookie)
			if live := r.live(t, l.Cookie); live != c.live {
				t.Errorf("the session lives: %v", live)
			}
			r.clock.add(lockLife)
			r.settle(t, l.Cookie)
			if n := calls.Load(); (n == 2) != c.retried || n > 2 {
				t.Errorf("the token was sent %d times", n)
			}
		})
	}
}

func TestALostAnswerIsNotAskedForAgain(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		hang      bool
		transport *http.Transport
	}{
		"CutOff":  {false, &http.Transport{}},
		"Timeout": {true, &http.Transport{ResponseHeaderTimeout: 200 * time.Millisecond}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, p, l := refreshing(t, func(o *Options) { o.Transport = c.transport })
			over := make(chan struct{})
			t.Cleanup(func() { close(over) })
			p.before = func(int) bool {
				if c.hang {
					<-over
				}
				return true
			}
			r.clock.add(due)
			for range 5 {
				if r.settle(t, l.Cookie) == nil {
					t.Fatal("the session ended before its access token")
				}
				r.clock.add(lockLife)
			}
			if n, _ := p.sent(); n != 1 {
				t.Errorf("the token was sent %d times", n)
			}
			r.clock.ns.Store(noon.Add(time.Hour - time.Second).UnixNano())
			if !r.live(t, l.Cookie) {
				t.Error("the session ended before its access token")
			}
			r.clock.add(time.Second)
			if r.live(t, l.Cookie) {
				t.Error("the session outlived its access token")
			}
			if n := r.counted(t, lost); n != 1 {
				t.Errorf("%v counted", n)
			}
		})
	}
}

func TestAProviderOutOfReachIsTriedAgainLater(t *testing.T) {
	t.Parallel()
	var down atomic.Bool
	r, p, l := refreshing(t, func(o *Options) {
		o.Transport = &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			if down.Load() {
				return nil, errors.New("no route")
			}
			return new(net.Dialer).DialContext(ctx, network, addr)
		}}
	})
	down.Store(true)
	r.clock.add(due)
	for range 60 {
		if r.settle(t, l.Cookie) == nil {
			t.Fatal("the session ended")
		}
		r.clock.add(30 * time.Second)
	}
	down.Store(false)
	r.clock.add(lockLife)
	r.settle(t, l.Cookie)
	s := r.settle(t, l.Cookie)
	if n, reused := p.sent(); n != 1 || reused != 0 || s == nil || !s.RefreshAt.After(r.clock.Now()) {
		t.Errorf("%d refreshes, %d with a token used before: %+v", n, reused, s)
	}
}

// counted is how many refreshes had an outcome.
func (r *rig) counted(t *testing.T, o outcome) float64 {
	t.Helper()
	var m dto.Metric
	if err := r.metrics.refreshes.WithLabelValues("one", string(o)).Write(&m); err != nil {
		t.Fatal(err)
	}
	return m.GetCounter().GetValue()
}
