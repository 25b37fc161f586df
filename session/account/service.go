package account

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/neosc/gate/session"
)

// Roles that this package knows by name.
const (
	// RoleUser is that of whoever registers.
	RoleUser = "user"
	// RoleAdmin is the one of which one account has to be left.
	RoleAdmin = "admin"
)

// Sessions is what changes of accounts do to live sessions; *session.Manager
// does it.
type Sessions interface {
	RevokeUser(ctx context.Context, userID string) (int, error)
	UpdateUser(ctx context.Context, userID string, change func(*session.Identity) error) (int, error)
	List(ctx context.Context, q session.Query) ([]*session.Session, error)
	Revoke(ctx context.Context, k session.Key) error
}

// Forgetter removes what else is kept of an account, such as second factors.
type Forgetter interface {
	RemoveFactors(ctx context.Context, userID string) error
}

// ServiceOptions set up a Service. Store, Sessions and Origin are needed.
type ServiceOptions struct {
	Store    *Store
	Sessions Sessions
	// Audit keeps what happens; nil keeps nothing.
	Audit session.Auditor
	// Mailer sends the links; nil: no mail is sent, so that nobody registers or
	// resets a password by link, and who invites has to hand the link over.
	Mailer session.Mailer
	// Origin is the gate's own, which all links begin with: https://gate.kappa4.com.
	Origin string
	// Open has anybody register; it needs a Mailer.
	Open bool
	// Product is what mails call the place; "NeoSC" if empty.
	Product string
	// Workspaces counts those of organizations; nil: there are none.
	Workspaces session.Workspaces
	// Factors forgets those of accounts that go; nil: nothing does.
	Factors Forgetter
	// Grants ends the demo grants of accounts that are disabled, go or move; nil:
	// there are none.
	Grants session.GrantEnder
	// Mark adds to an identity what sign-ins of local accounts have besides what
	// is known here, such as whether a second factor is asked for; nil: nothing.
	Mark func(*session.Identity)
	// PerEmail bounds the mails to one address that anybody can cause: zero means
	// 3 and then one in 20 minutes.
	PerEmail Guesses
	// Queue is how many mails may wait to be sent; 0 means 1000. One more is
	// session.ErrBusy.
	Queue int
	// Retry is how long to wait after each failed try to send, the last of them
	// after all further ones, until what the mail is about is over; nil means 2 s,
	// 10 s, a minute, 5 and 15 minutes.
	Retry []time.Duration
	// Registerer takes the metrics; nil means none are shown.
	Registerer prometheus.Registerer
	// MetricPrefix is "pomerium_" if empty.
	MetricPrefix string
}

// Service is what people and administrators do with accounts. It implements
// session.Registrar, session.Users, session.Members and session.Organizations, and is safe for
// concurrent use. Run sends the mails.
type Service struct {
	o     ServiceOptions
	st    *Store
	log   *slog.Logger
	mails *prometheus.CounterVec
	// waiting wakes those who send mails.
	waiting chan struct{}

	mu     sync.Mutex
	tokens map[string]string // those of the links of mails that were tried, by the links' ids
}

var (
	_ session.Registrar     = (*Service)(nil)
	_ session.Users         = (*Service)(nil)
	_ session.Members       = (*Service)(nil)
	_ session.Organizations = (*Service)(nil)
	_ session.Identifier    = (*Store)(nil)
)

// NewService returns a Service, or says which option is wrong.
func NewService(o ServiceOptions) (*Service, error) {
	switch {
	case o.Store == nil || o.Sessions == nil || o.Origin == "":
		return nil, errors.New("accounts: need Store, Sessions and Origin")
	case o.Open && o.Mailer == nil:
		return nil, errors.New("accounts: registration is open, but no mail can be sent, and so no email be verified")
	case o.Queue < 0:
		return nil, errors.New("accounts: Queue must not be negative")
	}
	if o.PerEmail == (Guesses{}) {
		o.PerEmail = Guesses{Burst: 3, Every: 20 * time.Minute}
	}
	if err := o.PerEmail.validate(); err != nil {
		return nil, fmt.Errorf("accounts: PerEmail: %w", err)
	}
	if o.Product == "" {
		o.Product = "NeoSC"
	}
	if o.Queue == 0 {
		o.Queue = 1000
	}
	if len(o.Retry) == 0 {
		o.Retry = []time.Duration{2 * time.Second, 10 * time.Second, time.Minute, 5 * time.Minute, 15 * time.Minute}
	}
	if o.MetricPrefix == "" {
		o.MetricPrefix = "pomerium_"
	}
	if o.Mark == nil {
		o.Mark = func(*session.Identity) {}
	}
	o.Origin = strings.TrimSuffix(o.Origin, "/")
	s := &Service{o: o, st: o.Store, log: o.Store.o.Logger, waiting: make(chan struct{}, mailers), tokens: map[string]string{}}
	s.mails = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: o.MetricPrefix + "account_mails_total", Help: "Mails about accounts, by what they are about and whether they were sent.",
	}, []string{"kind", "outcome"})
	if o.Registerer != nil {
		if err := o.Registerer.Register(s.mails); err != nil {
			return nil, fmt.Errorf("accounts: %w", err)
		}
	}
	return s, nil
}

const (
	sweepEvery = time.Hour
	mailers    = 2
)

// Run sends mails and removes links that are over until ctx ends. Mails that
// wait then are sent by the gate that runs next.
func (s *Service) Run(ctx context.Context) {
	var all sync.WaitGroup
	for range mailers {
		if s.o.Mailer != nil {
			all.Go(func() { s.post(ctx) })
		}
	}
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for ctx.Err() == nil {
		if n, err := s.st.sweepLinks(ctx); err != nil && ctx.Err() == nil {
			s.log.Warn("links that are over could not be removed", "error", err)
		} else if n > 0 {
			s.log.Debug("removed links that are over", "links", n)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
		}
	}
	all.Wait()
}

// audit keeps events, and refuses what they tell of if it cannot.
func (s *Service) audit(ctx context.Context, events ...session.Event) error {
	if s.o.Audit == nil || len(events) == 0 {
		return nil
	}
	err := s.o.Audit.Append(ctx, events...)
	if err != nil && !errors.Is(err, session.ErrUnavailable) {
		err = fmt.Errorf("%w: %w", session.ErrUnavailable, err)
	}
	if err != nil {
		return refuse(fmt.Errorf("audit trail: %w", err))
	}
	return nil
}

// auditAfter keeps events of what stands already, such as a refusal.
func (s *Service) auditAfter(ctx context.Context, events ...session.Event) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), callTimeout)
	defer cancel()
	if err := s.audit(ctx, events...); err != nil {
		for _, e := range events {
			s.log.Error("an event is not in the audit trail", "action", e.Action, "user", e.User.ID, "request_id", e.RequestID, "error", err)
		}
	}
}

// identity is who u is, as a sign-in now would say.
func (s *Service) identity(u *User) session.Identity {
	id := u.identity(s.st.o.Clock())
	s.o.Mark(&id)
	return id
}

// event is one of an account; details are names and values in turn.
func event(ctx context.Context, a session.Action, u *User, details ...string) session.Event {
	e := session.NewEvent(ctx, a, sessionOf(u))
	for i := 0; i+1 < len(details); i += 2 {
		if e.Details == nil {
			e.Details = make(map[string]string)
		}
		e.Details[details[i]] = details[i+1]
	}
	return e
}

// sessionOf names an account in events.
func sessionOf(u *User) *session.Session {
	return &session.Session{Identity: session.Identity{UserID: u.ID, Email: u.Email, Organization: u.Organization}}
}

// plain is an error of a transaction outside of one.
func plain(err error) error {
	if r, ok := errors.AsType[refusedError](err); ok {
		return r.error
	}
	return err
}
