package session_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/neosc/gate/session"
	"github.com/neosc/gate/session/cookie"
)

func wantErr(t *testing.T, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("error %v, want one that is %q", err, want)
	}
}

func wantLive(t *testing.T, s *session.Session, err error, want *session.Session) {
	t.Helper()
	if err != nil || s.Key != want.Key {
		t.Errorf("session %v, error %v; want %s", s, err, want.Key.Short())
	}
}

func TestCreatedSessionOpensWithItsCookie(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	s, v := r.create(t)
	got, err := r.lookup(v)
	wantLive(t, got, err, s)
	if got.Kind != session.Browser || !got.ExpiresAt.Equal(base.Add(8*time.Hour)) || !got.IdleExpiresAt.Equal(base.Add(time.Hour)) ||
		!got.Identity.AuthenticatedAt.Equal(base) || got.Identity.Claims["sub"] != "ana" {
		t.Errorf("%+v", got)
	}
	_, again := r.create(t)
	if again == v {
		t.Error("two sign-ins have one cookie")
	}
}

func TestCreateRefusesWhatPolicyMustNotSee(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	tests := map[string]func(*session.Identity) (session.Kind, time.Duration){
		"NoUser": func(id *session.Identity) (session.Kind, time.Duration) { id.UserID = ""; return session.Browser, 0 },
		"CommaInRole": func(id *session.Identity) (session.Kind, time.Duration) {
			id.Roles = []string{"user,admin"}
			return session.Browser, 0
		},
		"LineBreakInGroup": func(id *session.Identity) (session.Kind, time.Duration) {
			id.Groups = []string{"a\r\nx: y"}
			return session.Browser, 0
		},
		"TooLarge": func(id *session.Identity) (session.Kind, time.Duration) {
			id.Claims = map[string]any{"x": strings.Repeat("x", session.MaxRecordSize)}
			return session.Browser, 0
		},
		"NoJSON": func(id *session.Identity) (session.Kind, time.Duration) {
			id.Claims = map[string]any{"x": make(chan int)}
			return session.Browser, 0
		},
		"UnknownKind":      func(*session.Identity) (session.Kind, time.Duration) { return "root", 0 },
		"NegativeLifetime": func(*session.Identity) (session.Kind, time.Duration) { return session.Browser, -time.Second },
	}
	for name, spoil := range tests {
		t.Run(name, func(t *testing.T) {
			id := ana()
			kind, lifetime := spoil(&id)
			if _, v, err := r.Create(t.Context(), id, kind, lifetime); err == nil || v != "" {
				t.Errorf("it was created")
			}
		})
	}
	if n, err := r.store.CountLive(t.Context(), base); err != nil || n != 0 {
		t.Errorf("%d records are left of refused sessions (error %v)", n, err)
	}
}

func TestCreateSortsNamesAndShortensLifetimes(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	id := ana()
	id.Roles = []string{"user", "admin", "user"}
	s, _, err := r.Create(t.Context(), id, session.Service, 100*time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Join(s.Identity.Roles, " ") != "admin user" || !s.ExpiresAt.Equal(base.Add(8*time.Hour)) {
		t.Errorf("roles %v, end %v", s.Identity.Roles, s.ExpiresAt)
	}
	short, _, err := r.Create(t.Context(), id, session.Browser, time.Minute)
	if err != nil || !short.ExpiresAt.Equal(base.Add(time.Minute)) || !short.IdleExpiresAt.Equal(short.ExpiresAt) {
		t.Errorf("%+v, %v", short, err)
	}
}

func TestByCookiesChoosesAmongValues(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	s, v := r.create(t)
	_, other := r.create(t)
	gone, goneValue := r.create(t)
	if err := r.Revoke(t.Context(), gone.Key); err != nil {
		t.Fatal(err)
	}
	_, token, err := r.Create(t.Context(), ana(), session.Service, 0)
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name   string
		values []string
		want   error // nil: the first session
	}{
		{"One", []string{v}, nil},
		{"None", nil, session.ErrInvalid},
		{"JunkAround", []string{"junk", "", v, "v1.x.y"}, nil},
		{"JunkOnly", []string{"junk", ""}, session.ErrInvalid},
		{"RevokedBeside", []string{goneValue, v}, nil},
		{"RevokedOnly", []string{goneValue}, session.ErrInvalid},
		{"SameTwice", []string{v, v}, nil},
		{"TwoLive", []string{v, other}, session.ErrAmbiguous},
		{"TwoLiveAndJunk", []string{v, "junk", other}, session.ErrAmbiguous},
		{"TokenIsNoCookie", []string{token}, session.ErrInvalid},
		{"TokenBeside", []string{token, v}, nil},
		{"EightValues", []string{"1", "2", "3", "4", "5", "6", "7", v}, nil},
		{"NineValues", []string{v, "2", "3", "4", "5", "6", "7", "8", "9"}, session.ErrInvalid},
	}
	for _, c := range tests {
		t.Run(c.name, func(t *testing.T) {
			got, err := r.lookup(c.values...)
			if c.want != nil {
				wantErr(t, err, c.want)
				return
			}
			wantLive(t, got, err, s)
		})
	}
}

func TestServiceTokensAreBearersOnly(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	s, token, err := r.Create(t.Context(), ana(), session.Service, 0)
	if err != nil {
		t.Fatal(err)
	}
	got, err := r.ByBearer(t.Context(), token, base)
	wantLive(t, got, err, s)
	_, v := r.create(t)
	_, err = r.ByBearer(t.Context(), v, base)
	wantErr(t, err, session.ErrInvalid)
}

func TestSessionEndsAtTheVeryInstant(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(o *session.Options) { o.Idle = 0 })
	s, v := r.create(t)
	r.clock.Advance(8*time.Hour - time.Millisecond)
	got, err := r.lookup(v)
	wantLive(t, got, err, s)
	r.clock.Advance(time.Millisecond)
	_, err = r.lookup(v)
	wantErr(t, err, session.ErrInvalid)
}

func TestRevokedSessionIsDeadAtOnce(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	s, v := r.create(t)
	if _, err := r.lookup(v); err != nil {
		t.Fatal(err)
	}
	for range 2 { // twice is no error
		if err := r.Revoke(t.Context(), s.Key); err != nil {
			t.Fatal(err)
		}
	}
	_, err := r.lookup(v)
	wantErr(t, err, session.ErrInvalid)
}

func TestRevokeUserEndsAllOfThatUser(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	_, v1 := r.create(t)
	_, v2 := r.create(t)
	bob := ana()
	bob.UserID = "bob"
	s, v3, err := r.Create(t.Context(), bob, session.Browser, 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range []string{v1, v2, v3} {
		if _, err := r.lookup(v); err != nil {
			t.Fatal(err)
		}
	}
	if n, err := r.RevokeUser(t.Context(), "ana"); n != 2 || err != nil {
		t.Errorf("%d revoked, error %v; want 2", n, err)
	}
	for _, v := range []string{v1, v2} {
		_, err := r.lookup(v)
		wantErr(t, err, session.ErrInvalid)
	}
	got, err := r.lookup(v3)
	wantLive(t, got, err, s)
	if _, err := r.RevokeUser(t.Context(), ""); err == nil {
		t.Error("no user id was taken")
	}
}

func TestRetiredKeyClosesCookiesThatWereOpenedBefore(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "ring.yaml")
	keys, err := cookie.OpenRing(path)
	if err != nil {
		t.Fatal(err)
	}
	sealer, err := cookie.New(keys, "_pomerium", "session")
	if err != nil {
		t.Fatal(err)
	}
	r := newRig(t, func(o *session.Options) { o.Sealer = sealer })
	_, v := r.create(t)
	if _, err := r.lookup(v); err != nil {
		t.Fatal(err)
	}
	body := "active: new\nkeys:\n- {id: new, secret: " + strings.Repeat("A", 43) + "}\n"
	if err := os.WriteFile(path, []byte(body), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := keys.Reload(); err != nil {
		t.Fatal(err)
	}
	_, err = r.lookup(v)
	wantErr(t, err, session.ErrInvalid)
}

func TestNewManagerSaysWhichOptionIsWrong(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	sealer, err := cookie.New(ring(t), "_pomerium", "session")
	if err != nil {
		t.Fatal(err)
	}
	reg := prometheus.NewRegistry()
	good := session.Options{Store: r.store, Sealer: sealer, Registerer: reg}
	if _, err := session.NewManager(good); err != nil {
		t.Fatal(err)
	}
	for name, o := range map[string]session.Options{
		"no Store":  {Sealer: sealer},
		"no Sealer": {Store: r.store},
		"negative":  {Store: r.store, Sealer: sealer, Idle: -1},
		"CacheSize": {Store: r.store, Sealer: sealer, CacheSize: 1 << 40},
		"duplicate": good, // registered already
	} {
		if _, err := session.NewManager(o); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("error %v, want one that names %q", err, name)
		}
	}
}

// What an app gets is a token and nothing else: a cookie jar that holds it opens
// nothing, so no other site's page can make a browser use it.
func TestABearerSessionOpensAsATokenAlone(t *testing.T) {
	t.Parallel()
	for kind, bearer := range map[session.Kind]bool{session.Bearer: true, session.Service: true, session.Browser: false} {
		r := newRig(t, nil)
		_, value, err := r.Create(t.Context(), ana(), kind, 0)
		if err != nil {
			t.Fatal(err)
		}
		_, err = r.ByBearer(t.Context(), value, base)
		_, cookieErr := r.ByCookies(t.Context(), []string{value}, base)
		if (err == nil) != bearer || (cookieErr == nil) == bearer {
			t.Errorf("%s: as a token %v, as a cookie %v", kind, err, cookieErr)
		}
	}
}
