package web

import (
	"context"
	"encoding/base32"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pquerna/otp/totp"

	"github.com/neosc/gate/session"
	"github.com/neosc/gate/session/memstore"
	"github.com/neosc/gate/session/mfa"
	"github.com/neosc/gate/session/sqlstore"
)

// free lets every guess through.
type free struct{}

func (free) ChargeGuess(context.Context, string, string) error { return nil }
func (free) Take(context.Context, time.Time, string, string, float64, int) (bool, time.Duration, error) {
	return true, 0, nil
}

// noras is the one account that accounts knows.
type noras struct {
	mu      sync.Mutex
	gone    bool
	changed time.Time
}

func (n *noras) Identify(_ context.Context, userID string) (session.Identity, time.Time, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if userID != "u1" || n.gone {
		return session.Identity{}, time.Time{}, session.ErrCredentials
	}
	return session.Identity{Provider: "local", UserID: "u1", Email: "nora@kappa4.com", Name: "Nora Villaseñor", Roles: []string{"neosc"}}, n.changed, nil
}

// keeper keeps events, unless it is down.
type keeper struct {
	mu     sync.Mutex
	down   bool
	events []session.Event
}

func (k *keeper) Append(_ context.Context, events ...session.Event) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.down {
		return fmt.Errorf("%w: disk full", session.ErrUnavailable)
	}
	k.events = append(k.events, events...)
	return nil
}

func (k *keeper) has(action session.Action) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, e := range k.events {
		if e.Action == action && e.User.ID == "u1" && e.ClientIP == "203.0.113.9" {
			return true
		}
	}
	return false
}

// factorHouse is a house whose accounts have second factors, with a clock.
type factorHouse struct {
	*house
	factors *mfa.Store
	noras   *noras
	trail   *keeper
	mu      sync.Mutex
	now     time.Time
}

func (x *factorHouse) clock() time.Time {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.now
}

func (x *factorHouse) turn(d time.Duration) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.now = x.now.Add(d)
}

func newFactorHouse(t testing.TB) *factorHouse {
	t.Helper()
	x := &factorHouse{noras: &noras{}, trail: &keeper{}, now: noon}
	db, err := sqlstore.OpenSQLite(t.Context(), filepath.Join(t.TempDir(), "gate.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	x.factors, err = mfa.New(t.Context(), mfa.Options{
		DB: db, Dialect: sqlstore.SQLite(), Notes: memstore.New(), Keys: formKeys(strings.Repeat("r", 32)), Guesses: free{}, Budget: free{},
		Origin: gateOrigin, Name: "NeoSC Gate", Clock: x.clock, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	guard := &mfa.Guard{Accounts: accounts{}, Identifier: x.noras, Factors: x.factors, Rule: mfa.Required}
	x.house = newHouse(t, func(o *Options) {
		o.Accounts, o.Identities, o.Factors, o.Audit, o.Clock = guard, guard, x.factors, x.trail, x.clock
	})
	x.sessions.clock = x.clock
	return x
}

var shownKey = regexp.MustCompile(`id="key">(.*?)</code>`)

// keyOn reads an app's key off its page.
func keyOn(t testing.TB, page string) string {
	t.Helper()
	m := shownKey.FindStringSubmatch(page)
	if m == nil {
		t.Fatalf("no key on:\n%s", page)
	}
	return regexp.MustCompile(`<[^>]*>|\s`).ReplaceAllString(m[1], "")
}

// code is what the app shows.
func (x *factorHouse) code(t testing.TB, key string) string {
	t.Helper()
	if _, err := base32.StdEncoding.WithPadding(base32.NoPadding).DecodeString(key); err != nil {
		t.Fatal(err)
	}
	c, err := totp.GenerateCode(key, x.clock())
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// form sends a form with the token of a page.
func (b *browser) form(page, action string, fields ...string) *http.Response {
	b.t.Helper()
	body := text(b.t, b.do("GET", page, nil))
	form := url.Values{"csrf": {token(b.t, body)}}
	for i := 0; i < len(fields); i += 2 {
		form.Set(fields[i], fields[i+1])
	}
	return b.do("POST", action, form)
}

// enrol signs nora in and sets up an app; the time step of its code is over then.
func (x *factorHouse) enrol(t testing.TB, b *browser) (key string) {
	t.Helper()
	b.signIn(portal + "/")
	key = keyOn(t, text(t, b.do("GET", "/account/security/app", nil)))
	if r := b.form("/account/security/app", "/account/security/app", "code", x.code(t, key)); r.StatusCode != 200 || !strings.Contains(text(t, r), `<ol class="codes code"`) {
		t.Fatalf("set up: %s", r.Status)
	}
	x.turn(time.Minute)
	return key
}

func leads(t testing.TB, r *http.Response, status int, to string) {
	t.Helper()
	if r.StatusCode != status || r.Header.Get("Location") != to {
		t.Errorf("%s to %q, want %d to %q", r.Status, r.Header.Get("Location"), status, to)
	}
}
