package console

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/neosc/gate/session"
	"github.com/neosc/gate/session/account"
	"github.com/neosc/gate/session/cookie"
	"github.com/neosc/gate/session/memstore"
	"github.com/neosc/gate/session/sqlstore"
	"github.com/neosc/gate/session/web"
	"github.com/neosc/gate/session/web/pages"
)

const origin = "https://gate.kappa4.com"

var base = time.Date(2026, 3, 5, 12, 0, 0, 0, time.UTC)

// trail keeps events in memory.
type trail struct {
	mu      sync.Mutex
	entries []session.AuditEntry
	down    error
}

func (j *trail) Append(_ context.Context, events ...session.Event) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, e := range events {
		if e.Time.IsZero() {
			e.Time = base
		}
		j.entries = append(j.entries, session.AuditEntry{Number: uint64(len(j.entries) + 1), Event: e, Hash: "ab12"})
	}
	return nil
}

func (j *trail) Entries(_ context.Context, q session.AuditQuery) ([]session.AuditEntry, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	var out []session.AuditEntry
	for _, e := range slices.Backward(j.entries) {
		of := q.User == "" || q.User == e.User.ID || q.User == e.Actor.ID || strings.EqualFold(q.User, e.User.Email) || strings.EqualFold(q.User, e.Actor.Email)
		in := (q.Since.IsZero() || !e.Time.Before(q.Since)) && (q.Until.IsZero() || e.Time.Before(q.Until))
		if of && in && (q.Action == "" || q.Action == e.Action) && (q.Before == 0 || e.Number < q.Before) && len(out) < q.Limit {
			out = append(out, e)
		}
	}
	return out, j.down
}

// last is the newest event of an action.
func (j *trail) last(t testing.TB, a session.Action) session.AuditEntry {
	t.Helper()
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, e := range slices.Backward(j.entries) {
		if e.Action == a {
			return e
		}
	}
	t.Fatalf("the trail has no %s", a)
	return session.AuditEntry{}
}

type mails chan session.Mail

func (m mails) SendMail(_ context.Context, x session.Mail) error { m <- x; return nil }

var linkOf = regexp.MustCompile(`https://gate\.kappa4\.com(/\S+\?token=\S+)`)

// link is that of the next mail.
func (m mails) link(t testing.TB) string {
	t.Helper()
	select {
	case x := <-m:
		found := linkOf.FindStringSubmatch(x.Text)
		if found == nil {
			t.Fatalf("no link in %q", x.Text)
		}
		return found[1]
	case <-time.After(20 * time.Second):
		t.Fatal("no mail came")
		return ""
	}
}

type budget struct{}

func (budget) Take(context.Context, time.Time, string, string, float64, int) (bool, time.Duration, error) {
	return true, 0, nil
}

// house is a gate's own host with real accounts and sessions, in memory.
type house struct {
	t        testing.TB
	h        *web.Handler
	store    *account.Store
	service  *account.Service
	sessions *session.Manager
	trail    *trail
	mails    mails
	now      atomic.Int64
}

func (x *house) clock() time.Time { return time.Unix(0, x.now.Load()).UTC() }

func newHouse(t testing.TB, change ...func(*Options, *account.ServiceOptions)) *house {
	t.Helper()
	x := &house{t: t, trail: &trail{}, mails: make(mails, 100)}
	x.now.Store(base.UnixNano())
	log := slog.New(slog.DiscardHandler)
	db, err := sqlstore.OpenSQLite(t.Context(), t.TempDir()+"/gate.db")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	x.store, err = account.New(t.Context(), account.Options{
		DB: db, Dialect: sqlstore.SQLite(), Budget: budget{}, Clock: x.clock, Params: account.Params{MemoryKiB: 8, Passes: 1, Threads: 1}, Logger: log,
	})
	if err != nil {
		t.Fatal(err)
	}
	ring, err := cookie.NewRing()
	if err != nil {
		t.Fatal(err)
	}
	sealer, err := cookie.New(ring, "_pomerium", "session")
	if err != nil {
		t.Fatal(err)
	}
	memory := memstore.New()
	x.sessions, err = session.NewManager(session.Options{Store: memory, Sealer: sealer, Clock: x.clock, Audit: x.trail, Idle: time.Hour, Logger: log})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(x.sessions.Close)
	p, err := pages.New(pages.Options{GateOrigin: origin, Demos: true})
	if err != nil {
		t.Fatal(err)
	}
	x.h, err = web.New(web.Options{
		Pages: p, Accounts: x.store, Sessions: x.sessions, GateOrigin: origin, IsOrigin: func(o string) bool { return o == origin },
		Apps: func(context.Context, *session.Session) []web.App { return nil }, JWKS: func() []byte { return nil },
		Cookie: session.CookieSpec{Name: "_pomerium", Domain: ".kappa4.com", Secure: true}, Logger: log, Clock: x.clock,
		FormKeys: func() ([][]byte, error) { return [][]byte{[]byte(strings.Repeat("k", 32))}, nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	so := account.ServiceOptions{
		Store: x.store, Sessions: x.sessions, Audit: x.trail, Mailer: x.mails, Origin: origin, Open: true,
		PerEmail: account.Guesses{Burst: 100, Every: time.Minute}, Retry: []time.Duration{0},
	}
	o := Options{
		Frame: x.h, Pages: p, Sessions: x.sessions, AuditLog: x.trail, CountLive: memory.CountLive, Passwords: true, Security: true,
		MinPassword: 8, Lifetime: 8 * time.Hour, Idle: time.Hour, Logger: log, Clock: x.clock,
	}
	for _, f := range change {
		f(&o, &so)
	}
	x.open(o, so)
	return x
}

func (x *house) open(o Options, so account.ServiceOptions) {
	x.t.Helper()
	var err error
	if x.service, err = account.NewService(so); err != nil {
		x.t.Fatal(err)
	}
	if o.Policy == nil {
		o.Policy = &fakePolicy{}
	}
	o.Members, o.Organizations, o.Registrar = x.service, x.service, x.service
	c, err := New(o)
	if err != nil {
		x.t.Fatal(err)
	}
	x.h.Add(c.Routes())
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); x.service.Run(ctx) }()
	x.t.Cleanup(func() { cancel(); <-done })
}

const password = "the present password"

// add makes an account and returns its id.
func (x *house) add(email string, roles ...string) string {
	x.t.Helper()
	u, err := x.store.Add(x.t.Context(), account.User{Email: email, Name: strings.ToUpper(email[:1]) + email[1:strings.IndexByte(email, '@')], Roles: roles, EmailVerified: true, MFA: true}, password)
	if err != nil {
		x.t.Fatal(err)
	}
	return u.ID
}

// browser keeps cookies by name.
type browser struct {
	*house
	cookies map[string]string
	key     session.Key
	id      string
}

func (x *house) stranger() *browser { return &browser{house: x, cookies: map[string]string{}} }

// as is the browser of somebody who has an account and is signed in.
func (x *house) as(email string) *browser {
	x.t.Helper()
	id, err := x.store.SignIn(x.t.Context(), email, password, "203.0.113.9")
	if err != nil {
		x.t.Fatal(err)
	}
	return x.with(id)
}

func (x *house) with(id session.Identity) *browser {
	x.t.Helper()
	ctx := session.WithOrigin(x.t.Context(), session.Origin{ClientIP: "203.0.113.48", UserAgent: "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"})
	s, value, err := x.sessions.Create(ctx, id, session.Browser, 0)
	if err != nil {
		x.t.Fatal(err)
	}
	b := x.stranger()
	b.cookies["_pomerium"], b.key, b.id = value, s.Key, id.UserID
	return b
}

type answer struct {
	*http.Response
	text string
}

func (b *browser) do(method, target string, form url.Values, edit ...func(*http.Request)) answer {
	b.t.Helper()
	var body io.Reader
	if form != nil {
		body = strings.NewReader(form.Encode())
	}
	r := httptest.NewRequest(method, target, body)
	r.Header.Set("X-Envoy-External-Address", "203.0.113.9")
	if form != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Origin", origin)
	}
	for name, value := range b.cookies {
		r.AddCookie(&http.Cookie{Name: name, Value: value})
	}
	for _, f := range edit {
		f(r)
	}
	w := httptest.NewRecorder()
	b.h.ServeHTTP(w, r)
	for _, c := range w.Result().Cookies() {
		b.cookies[c.Name] = c.Value
	}
	return answer{w.Result(), w.Body.String()}
}

func (b *browser) get(target string) answer { b.t.Helper(); return b.do("GET", target, nil) }

var csrfField = regexp.MustCompile(`name="csrf" value="([^"]+)"`)

// send fetches a page, and sends a form of it to another address.
func (b *browser) send(page, action string, fields ...string) answer {
	b.t.Helper()
	form := url.Values{"csrf": {b.token(page)}}
	for i := 0; i < len(fields); i += 2 {
		form.Set(fields[i], fields[i+1])
	}
	return b.do("POST", action, form)
}

func (b *browser) token(page string) string {
	b.t.Helper()
	m := csrfField.FindStringSubmatch(b.get(page).text)
	if m == nil {
		b.t.Fatalf("%s has no form", page)
	}
	return m[1]
}

// follow goes where an answer leads, and wants texts there.
func (b *browser) follow(a answer, texts ...string) answer {
	b.t.Helper()
	to := a.Header.Get("Location")
	if a.StatusCode != http.StatusSeeOther || !strings.HasPrefix(to, origin+"/") {
		b.t.Fatalf("answered %s to %q:\n%s", a.Status, to, a.text)
	}
	next := b.get(strings.TrimPrefix(to, origin))
	next.wants(b.t, http.StatusOK, texts...)
	return next
}

func (a answer) wants(t testing.TB, status int, texts ...string) {
	t.Helper()
	if a.StatusCode != status {
		t.Errorf("answered %s, want %d", a.Status, status)
	}
	for _, want := range texts {
		if !strings.Contains(a.text, want) {
			t.Errorf("the page lacks %q:\n%s", want, a.text)
		}
	}
}

func (x *house) live(k session.Key) bool {
	x.t.Helper()
	_, err := x.sessions.Find(x.t.Context(), k)
	if err != nil && !errors.Is(err, session.ErrNotFound) {
		x.t.Fatal(err)
	}
	return err == nil
}
