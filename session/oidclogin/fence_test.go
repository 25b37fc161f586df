package oidclogin

import (
	"fmt"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/neosc/gate/session"
)

// held has the provider hold its answer to the first refresh back. arrived is
// closed once that has come.
func held(p *rotating) (arrived, release chan struct{}) {
	arrived, release = make(chan struct{}), make(chan struct{})
	p.before = func(n int) bool {
		if n == 1 {
			close(arrived)
			<-release
		}
		return false
	}
	return arrived, release
}

func TestAGateThatLostItsLockSpendsNoTokenTwice(t *testing.T) {
	t.Parallel()
	one, p, l := refreshing(t, nil)
	two := one.replica(t)
	arrived, release := held(p)
	one.clock.add(due)
	if !one.live(t, l.Cookie) {
		t.Fatal("no session")
	}
	<-arrived
	one.clock.add(lockLife) // as if the first gate had been stopped for so long
	two.settle(t, l.Cookie)
	close(release)
	if err := one.flights.wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n, reused := p.sent(); n != 1 || reused != 0 {
		t.Errorf("%d refreshes, %d with a token used before", n, reused)
	}
	if one.counted(t, superseded) != 1 || two.counted(t, lost) != 1 {
		t.Error("the gate that came back overwrote what the other had decided")
	}
	if !two.live(t, l.Cookie) {
		t.Error("the session ended before its access token")
	}
	one.clock.ns.Store(noon.Add(time.Hour).UnixNano())
	if two.live(t, l.Cookie) || one.live(t, l.Cookie) {
		t.Error("the session outlived its access token")
	}
}

func TestAGateThatDiedBeforeItSentLeavesAMarkThatHolds(t *testing.T) {
	t.Parallel()
	g, p, l := refreshing(t, nil)
	g.clock.add(due)
	r := &refresh{Logins: g.Logins, p: g.byID["one"], key: l.Session.Key, note: noteKey(tokensPurpose, l.Session.Key.String())}
	if o, err := r.prepare(t.Context(), l.Cookie); o != "" || err != nil {
		t.Fatal(o, err)
	}
	mark := *r.kept
	mark.Spent, mark.Fence = true, 1
	if err := r.swap(t.Context(), &mark); err != nil {
		t.Fatal(err)
	}
	g.clock.add(lockLife)
	if g.settle(t, l.Cookie) == nil || !g.live(t, l.Cookie) {
		t.Error("the session ended before its access token")
	}
	if n, _ := p.sent(); n != 0 {
		t.Errorf("%d refreshes", n)
	}
	g.clock.ns.Store(noon.Add(time.Hour).UnixNano())
	if g.live(t, l.Cookie) {
		t.Error("the session outlived its access token")
	}
}

func TestASignOutOvertakesARefresh(t *testing.T) {
	t.Parallel()
	r, p, l := refreshing(t, nil)
	arrived, release := held(p)
	r.clock.add(due)
	if !r.live(t, l.Cookie) {
		t.Fatal("no session")
	}
	<-arrived
	if err := r.sessions.Revoke(t.Context(), l.Session.Key); err != nil {
		t.Fatal(err)
	}
	r.SignOut(t.Context(), l.Session, l.Cookie)
	close(release)
	if err := r.flights.wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	if r.live(t, l.Cookie) {
		t.Error("the refresh revived the session")
	}
	r.idp.mu.Lock()
	defer r.idp.mu.Unlock()
	if got := r.idp.form.Get("token"); r.idp.call["/revoke"] != 2 || got != p.current {
		t.Errorf("%d tokens were revoked, the new one is not the last", r.idp.call["/revoke"])
	}
}

func TestOnlyTheSessionsOwnCookieRefreshesIt(t *testing.T) {
	t.Parallel()
	r, p, l := refreshing(t, nil)
	other, err := r.signIn(t)
	if err != nil {
		t.Fatal(err)
	}
	r.clock.add(due)
	for _, cookie := range []string{other.Cookie, "", "junk"} {
		r.Refresh(l.Session, cookie)
		if err := r.flights.wait(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if n, _ := p.sent(); n != 0 || r.counted(t, failed) != 3 || !r.live(t, l.Cookie) {
		t.Errorf("%d refreshes", n)
	}
}

func TestWithoutARefreshTokenNothingIsRefreshed(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	r.idp.answer["/token"] = func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, `{"access_token":"at","token_type":"Bearer","expires_in":3600,"id_token":%q}`, r.idp.sign(r.idp.claims))
	}
	l, err := r.signIn(t)
	if err != nil {
		t.Fatal(err)
	}
	g := r.replica(t)
	r.clock.add(2 * time.Hour)
	if s := g.settle(t, l.Cookie); s == nil || !s.RefreshAt.IsZero() || r.idp.calls("/token") != 1 {
		t.Errorf("%+v", s)
	}
}

func TestAProviderThatDoesNotRotateGetsTheSameTokenAgain(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	var sent []string
	r.idp.answer["/token"] = func(w http.ResponseWriter, q *http.Request) {
		more := `,"refresh_token":"the one"`
		if q.PostForm.Get("grant_type") == "refresh_token" {
			sent, more = append(sent, q.PostForm.Get("refresh_token")), ""
		}
		fmt.Fprintf(w, `{"access_token":"at","token_type":"Bearer","expires_in":"1800","id_token":%q%s}`, r.idp.sign(r.idp.claims), more)
	}
	l, err := r.signIn(t)
	if err != nil {
		t.Fatal(err)
	}
	g := r.replica(t)
	for range 2 {
		r.clock.add(24 * time.Minute)
		if g.settle(t, l.Cookie) == nil {
			t.Fatal("the session ended")
		}
	}
	if s := g.settle(t, l.Cookie); s == nil || !s.RefreshAt.Equal(r.clock.Now().Add(24*time.Minute)) || !slices.Equal(sent, []string{"the one", "the one"}) {
		t.Errorf("sent %q, %+v", sent, s)
	}
}

func TestAClosingGateWaitsForItsRefreshesAndBeginsNoMore(t *testing.T) {
	t.Parallel()
	r, p, l := refreshing(t, nil)
	arrived, release := held(p)
	r.clock.add(due)
	if !r.live(t, l.Cookie) {
		t.Fatal("no session")
	}
	<-arrived
	closed := make(chan error, 1)
	go func() { closed <- r.Close(t.Context()) }()
	close(release)
	if err := <-closed; err != nil {
		t.Fatal(err)
	}
	s, err := r.sessions.Current(t.Context(), l.Session.Key)
	if err != nil || s.Fence != 1 {
		t.Errorf("it did not wait for the refresh under way: %+v, error %v", s, err)
	}
	r.Refresh(&session.Session{Key: l.Session.Key, Identity: s.Identity}, l.Cookie)
	if n, _ := p.sent(); n != 1 {
		t.Error("a closed gate began a refresh")
	}
}
