package oidclogin

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"
	"testing/synctest"
	"time"

	"github.com/neosc/gate/session"
)

// slow carries requests to the hostile provider itself, without a network, so
// that time can be a test's: what is slow takes no time to test.
type slow struct {
	idp **hostile
	// at is the path that is slow, and how: nothing comes, or a byte a second.
	at      string
	trickle bool
}

func (s *slow) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Path == s.at && !s.trickle {
		(*s.idp).mu.Lock()
		(*s.idp).call[s.at]++
		(*s.idp).mu.Unlock()
		<-r.Context().Done()
		return nil, r.Context().Err()
	}
	w := httptest.NewRecorder()
	(*s.idp).ServeHTTP(w, r)
	resp := w.Result()
	if r.URL.Path == s.at {
		resp.Body = &drops{ctx: r.Context(), from: resp.Body}
	}
	return resp, nil
}

// drops is a body that comes byte by byte.
type drops struct {
	ctx  context.Context
	from io.ReadCloser
}

func (d *drops) Close() error { return d.from.Close() }

func (d *drops) Read(p []byte) (int, error) {
	select {
	case <-d.ctx.Done():
		return 0, d.ctx.Err()
	case <-time.After(time.Second):
		return d.from.Read(p[:1])
	}
}

// A16: a provider that takes its time takes that of nobody for long, and gets a
// code but once.
func TestASlowProviderIsGivenUp(t *testing.T) {
	t.Parallel()
	for name, path := range map[string]string{"Discovery": "/.well-known/openid-configuration", "Token": "/token", "Keys": "/keys", "Userinfo": "/userinfo"} {
		for how, trickle := range map[string]bool{"Silent": false, "Trickling": true} {
			t.Run(name+how, func(t *testing.T) {
				t.Parallel()
				s := &slow{at: path, trickle: trickle}
				r := newRig(t, func(o *Options) { o.Transport = s })
				s.idp = &r.idp
				delete(r.idp.claims, "name") // so that userinfo is asked
				synctest.Test(t, func(t *testing.T) { givenUp(t, r, path) })
			})
		}
	}
}

func givenUp(t *testing.T, r *rig, path string) {
	began := time.Now()
	to, err := r.Start(t.Context(), session.StartLogin{Provider: "one", ReturnTo: portal, Browser: browser})
	if err == nil {
		u, perr := url.Parse(to)
		if perr != nil {
			t.Fatal(perr)
		}
		r.idp.claims["nonce"] = u.Query().Get("nonce")
		_, err = r.finish(t.Context(), "one", url.Values{"code": {"c"}, "state": {u.Query().Get("state")}})
	}
	wantReason(t, err, session.LoginAway)
	if took := time.Since(began); took != askTimeout {
		t.Errorf("it took %s, want %s", took, askTimeout)
	}
	if n := r.idp.calls(path); n != 1 {
		t.Errorf("%s was asked %d times", path, n)
	}
	if n := r.idp.calls("/token"); n > 1 {
		t.Errorf("the code was sent %d times", n)
	}
	if n, _ := r.store.CountLive(t.Context(), noon); n != 0 {
		t.Errorf("%d sessions were left", n)
	}
}

// A logout token that cannot be checked now is not refused for good: a provider
// sends it again after 503, and never after 400.
func TestALogoutWhoseKeysAreAwayIsTriedAgain(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	l, err := r.signIn(t)
	if err != nil {
		t.Fatal(err)
	}
	other := r.replica(t) // which has no keys yet
	token := r.logoutToken(nil)
	r.idp.answer["/keys"] = func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) }
	wantReason(t, other.logOut(t, token), session.LoginAway)
	if !r.live(t, l.Cookie) {
		t.Error("the session ended by a token that was not checked")
	}
	delete(r.idp.answer, "/keys")
	r.clock.add(keysAgain)
	if err := other.logOut(t, token); err != nil {
		t.Error(err)
	}
	if r.live(t, l.Cookie) {
		t.Error("the session goes on")
	}
}
