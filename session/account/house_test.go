package account

import (
	"context"
	"errors"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/neosc/gate/session"
	"github.com/neosc/gate/session/cookie"
	"github.com/neosc/gate/session/memstore"
)

// outbox keeps mails instead of sending them.
type outbox struct {
	mails chan session.Mail
	mu    sync.Mutex
	fail  int // how many more tries fail
}

func (o *outbox) SendMail(_ context.Context, m session.Mail) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.fail > 0 {
		o.fail--
		return errors.New("the server is away")
	}
	o.mails <- m
	return nil
}

// next returns the next mail.
func (o *outbox) next(t testing.TB) session.Mail {
	t.Helper()
	select {
	case m := <-o.mails:
		return m
	case <-time.After(20 * time.Second):
		t.Fatal("no mail came")
		return session.Mail{}
	}
}

// token returns that of the link of a mail.
func (o *outbox) token(t testing.TB, to, path string) string {
	t.Helper()
	m := o.next(t)
	begin := "https://gate.kappa4.com" + path + "?token="
	at := strings.Index(m.Text, begin)
	if m.To != to || at < 0 {
		t.Fatalf("a mail to %s: %s; want one to %s with a link to %s", m.To, m.Text, to, path)
	}
	token, _, _ := strings.Cut(m.Text[at+len(begin):], "\n")
	token, err := url.QueryUnescape(token)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// journal keeps events in memory.
type journal struct {
	mu     sync.Mutex
	events []session.Event
	err    error
}

func (j *journal) Append(_ context.Context, events ...session.Event) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.err != nil {
		return j.err
	}
	j.events = append(j.events, events...)
	return nil
}

func (j *journal) fail(err error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.err = err
}

func (j *journal) actions() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	var out []string
	for _, e := range j.events {
		out = append(out, string(e.Action))
	}
	j.events = nil
	return strings.Join(out, " ")
}

// house is a rig with all that a service needs.
type house struct {
	*rig
	s        *Service
	out      *outbox
	journal  *journal
	sessions *session.Manager
	now      func() time.Time
	forward  func(time.Duration)
}

func newHouse(t testing.TB, change func(*Options), more func(*ServiceOptions)) *house {
	t.Helper()
	h := &house{out: &outbox{mails: make(chan session.Mail, 1000)}, journal: &journal{}}
	var mu sync.Mutex
	at := base
	h.now = func() time.Time { mu.Lock(); defer mu.Unlock(); return at }
	h.forward = func(d time.Duration) { mu.Lock(); defer mu.Unlock(); at = at.Add(d) }
	h.rig = newRig(t, func(o *Options) {
		o.Clock = h.now
		if change != nil {
			change(o)
		}
	})
	ring, err := cookie.OpenRing(t.TempDir() + "/keys.yaml")
	if err != nil {
		t.Fatal(err)
	}
	sealer, err := cookie.New(ring, "_pomerium", "session")
	if err != nil {
		t.Fatal(err)
	}
	if h.sessions, err = session.NewManager(session.Options{Store: memstore.New(), Sealer: sealer, Clock: h.now, Accounts: h.rig.Store}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(h.sessions.Close)
	o := ServiceOptions{Store: h.rig.Store, Sessions: h.sessions, Audit: h.journal, Mailer: h.out, Origin: "https://gate.kappa4.com", Open: true,
		Mark:     func(id *session.Identity) { id.Claims["neosc:mfa"] = "required" },
		PerEmail: Guesses{Burst: 100, Every: time.Minute}, Retry: []time.Duration{0, 0}}
	if more != nil {
		more(&o)
	}
	if h.s, err = NewService(o); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); h.s.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-done })
	return h
}

// browse begins a session for an identity and returns its cookie.
func (h *house) browse(t testing.TB, id session.Identity) (*session.Session, string) {
	t.Helper()
	s, value, err := h.sessions.Create(t.Context(), id, session.Browser, 0)
	if err != nil {
		t.Fatal(err)
	}
	return s, value
}

// sees returns who a cookie opens a session of, nil for nobody.
func (h *house) sees(t testing.TB, value string) *session.Identity {
	t.Helper()
	s, err := h.sessions.ByCookies(t.Context(), []string{value}, h.now())
	if errors.Is(err, session.ErrInvalid) {
		return nil
	}
	if err != nil {
		t.Fatal(err)
	}
	return &s.Identity
}

// join registers somebody and follows the link.
func (h *house) join(t testing.TB, email string) session.Identity {
	t.Helper()
	if _, err := h.s.Register(t.Context(), session.Registration{Email: email, Password: password, Name: "Ana"}, "203.0.113.9"); err != nil {
		t.Fatal(err)
	}
	id, err := h.s.VerifyEmail(t.Context(), h.out.token(t, email, session.VerifyPath), password, "203.0.113.9")
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func (h *house) organization(t testing.TB, name string) session.Organization {
	t.Helper()
	o, err := h.s.CreateOrganization(t.Context(), name, "")
	if err != nil {
		t.Fatal(err)
	}
	return o
}

// AddUser and what follows change accounts as operators do, beside any sessions.
func (r *rig) AddUser(ctx context.Context, n session.NewUser) (session.User, error) {
	return r.operators().AddUser(ctx, n)
}

func (r *rig) SetPassword(ctx context.Context, email, password string) (session.User, error) {
	return r.operators().SetPassword(ctx, email, password)
}

func (r *rig) operators() *Service {
	return &Service{o: ServiceOptions{Store: r.Store, Sessions: nobodys{}}, st: r.Store, log: r.o.Logger}
}

func (r *rig) changeUser(ctx context.Context, email string, c session.UserChange) (session.User, error) {
	ctx = session.WithOrigin(ctx, session.Origin{Actor: session.Operator()})
	u, err := r.Get(ctx, email)
	if err != nil {
		return session.User{}, err
	}
	changed, err := r.operators().ChangeUser(ctx, u.ID, c)
	return changed.User, err
}

func (r *rig) SetRoles(ctx context.Context, email string, roles []string) (session.User, error) {
	return r.changeUser(ctx, email, session.UserChange{Roles: &roles})
}

func (r *rig) SetDisabled(ctx context.Context, email string, disabled bool) (session.User, error) {
	return r.changeUser(ctx, email, session.UserChange{Disabled: &disabled})
}

func (r *rig) RemoveUser(ctx context.Context, email string) (session.User, error) {
	u, err := r.Get(ctx, email)
	if err != nil {
		return session.User{}, err
	}
	gone, err := r.operators().DeleteUser(session.WithOrigin(ctx, session.Origin{Actor: session.Operator()}), u.ID)
	return gone.User, err
}

// nobodys are the sessions where there are none.
type nobodys struct{ Sessions }

func (nobodys) RevokeUser(context.Context, string) (int, error) { return 0, nil }
func (nobodys) UpdateUser(context.Context, string, func(*session.Identity) error) (int, error) {
	return 0, nil
}
