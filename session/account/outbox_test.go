package account

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"

	"github.com/neosc/gate/session"
)

// letterbox is a mailer whose answers a test chooses.
type letterbox struct {
	mails  chan session.Mail
	answer func(session.Mail) error
}

func (b *letterbox) SendMail(_ context.Context, m session.Mail) error {
	err := b.answer(m)
	b.mails <- m
	return err
}

// another runs a service on the accounts of a house, as another gate does, and
// returns it with what ends it.
func (h *house) another(t testing.TB, answer func(session.Mail) error, more func(*ServiceOptions)) (*Service, *letterbox, func()) {
	t.Helper()
	box := &letterbox{mails: make(chan session.Mail, 1000), answer: answer}
	o := h.s.o
	o.Mailer, o.Open, o.Registerer, o.Retry = box, true, nil, []time.Duration{30 * time.Minute}
	if more != nil {
		more(&o)
	}
	s, err := NewService(o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); s.Run(ctx) }()
	end := func() { cancel(); <-done }
	t.Cleanup(end)
	return s, box, end
}

func (b *letterbox) next(t testing.TB) session.Mail {
	t.Helper()
	select {
	case m := <-b.mails:
		return m
	case <-time.After(20 * time.Second):
		t.Fatal("no mail was tried")
		return session.Mail{}
	}
}

// silent is a house whose own service sends nothing.
func silent(t testing.TB, change func(*Options)) *house {
	t.Helper()
	return newHouse(t, change, func(o *ServiceOptions) { o.Mailer, o.Open = nil, false })
}

func away(session.Mail) error    { return errors.New("the server is away") }
func accepts(session.Mail) error { return nil }

func (h *house) waits(t testing.TB, want int) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		n, err := h.letters(t.Context())
		if err == nil && n == want {
			return
		}
		if err != nil || time.Now().After(end) {
			t.Fatalf("%d mails wait, want %d; error %v", n, want, err)
		}
	}
}

func TestMailsOutliveTheGateAndAServerThatIsAway(t *testing.T) {
	t.Parallel()
	h := silent(t, nil)
	s, box, end := h.another(t, away, nil)
	h.add(t, "bob@example.com")
	if _, err := s.Register(t.Context(), session.Registration{Email: "ana@example.com", Password: password}, "203.0.113.9"); err != nil {
		t.Fatal(err)
	}
	old := box.next(t)
	if err := s.RequestReset(t.Context(), "bob@example.com", "203.0.113.9"); err != nil {
		t.Fatal(err)
	}
	box.next(t)
	if _, err := s.Invite(t.Context(), session.NewInvitation{Organization: session.DefaultOrganizationID, Email: "cid@example.com"}); err != nil {
		t.Fatal(err)
	}
	box.next(t)
	end()
	h.waits(t, 3)
	h.forward(29 * time.Minute)
	if l, wait, err := h.takeLetter(t.Context()); l != nil || wait <= 0 || wait > time.Minute || err != nil {
		t.Errorf("before it is time there is %+v, wait %s, error %v", l, wait, err)
	}
	h.forward(time.Minute)
	s, box, _ = h.another(t, accepts, nil)
	mails := map[string]string{}
	for range 3 {
		m := box.next(t)
		mails[m.To] = m.Text
	}
	h.waits(t, 0)
	tokens := &outbox{mails: make(chan session.Mail, 3)}
	open := func(to, path string) string {
		tokens.mails <- session.Mail{To: to, Text: mails[to]}
		return tokens.token(t, to, path)
	}
	verify := open("ana@example.com", session.VerifyPath)
	tokens.mails <- old
	if _, err := s.VerifyEmail(t.Context(), tokens.token(t, "ana@example.com", session.VerifyPath), password, "203.0.113.9"); !errors.Is(err, session.ErrLink) {
		t.Errorf("a mail that the server would not take has a link that holds: %v", err)
	}
	if _, err := s.VerifyEmail(t.Context(), verify, password, "203.0.113.9"); err != nil {
		t.Error(err)
	}
	if _, err := s.Register(t.Context(), session.Registration{Email: "cid@example.com", Password: password, Invitation: open("cid@example.com", session.InvitationPath)}, "203.0.113.9"); err != nil {
		t.Error(err)
	}
	if _, err := s.ResetPassword(t.Context(), open("bob@example.com", session.ResetPath), "a brand new password", "203.0.113.9"); err != nil {
		t.Error(err)
	}
}

func TestAMailThatIsTriedAgainBringsTheSameLink(t *testing.T) {
	t.Parallel()
	h := silent(t, nil)
	tries := 0
	var mu sync.Mutex
	s, box, _ := h.another(t, func(session.Mail) error {
		mu.Lock()
		defer mu.Unlock()
		if tries++; tries == 1 {
			return errors.New("the answer did not come in time")
		}
		return nil
	}, func(o *ServiceOptions) { o.Retry = []time.Duration{0} })
	if _, err := s.Register(t.Context(), session.Registration{Email: "ana@example.com", Password: password}, "203.0.113.9"); err != nil {
		t.Fatal(err)
	}
	if first, second := box.next(t), box.next(t); first != second {
		t.Errorf("first\n%s\nthen\n%s", first.Text, second.Text)
	}
}

func TestMailsThatAreRefusedOrOverAreGivenUp(t *testing.T) {
	t.Parallel()
	h := silent(t, nil)
	s, box, _ := h.another(t, func(m session.Mail) error {
		if m.To == "gone@example.com" {
			return fmt.Errorf("550 no such mailbox: %w", session.ErrMailRefused)
		}
		return away(m)
	}, nil)
	for _, email := range []string{"gone@example.com", "ana@example.com"} {
		if _, err := s.Register(t.Context(), session.Registration{Email: email, Password: password}, "203.0.113.9"); err != nil {
			t.Fatal(err)
		}
		box.next(t)
	}
	h.waits(t, 1)
	var given dto.Metric
	if err := s.mails.WithLabelValues("verify", "failed").Write(&given); err != nil || given.GetCounter().GetValue() != 1 {
		t.Errorf("%g mails are given up, error %v", given.GetCounter().GetValue(), err)
	}
	h.forward(verifyLife)
	s.wake()
	h.waits(t, 0) // without a mail, since its link is over
	select {
	case m := <-box.mails:
		t.Errorf("%s was sent a link that is over", m.To)
	default:
	}
}

func TestALetterOfAKilledGateIsAnothersAfterAWhile(t *testing.T) {
	t.Parallel()
	h := silent(t, nil)
	h.add(t, "ana@example.com")
	s, err := NewService(ServiceOptions{Store: h.Store, Sessions: h.sessions, Mailer: &letterbox{}, Origin: "https://gate.kappa4.com"})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.RequestReset(t.Context(), "ana@example.com", "203.0.113.9"); err != nil {
		t.Fatal(err)
	}
	if l, _, err := h.takeLetter(t.Context()); l == nil || err != nil {
		t.Fatalf("%+v, error %v", l, err)
	}
	if l, wait, err := h.takeLetter(t.Context()); l != nil || wait != leaseTime || err != nil {
		t.Errorf("another gate takes %+v at once, wait %s, error %v", l, wait, err)
	}
	h.forward(leaseTime)
	_, box, _ := h.another(t, accepts, nil)
	if m := box.next(t); m.To != "ana@example.com" {
		t.Errorf("a mail to %s", m.To)
	}
	h.waits(t, 0)
}

// posting has two gates send what waits: each mail once.
func posting(t *testing.T, h *house) {
	const many = 60
	for i := range many {
		err := h.s.tx(t.Context(), func(ctx context.Context, tx txn) error {
			return h.s.putLetter(ctx, tx, letter{kind: mailChanged, to: fmt.Sprintf("u%d@example.com", i)})
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	var mu sync.Mutex
	seen := map[string]int{}
	count := func(m session.Mail) error {
		mu.Lock()
		defer mu.Unlock()
		seen[m.To]++
		return nil
	}
	h.another(t, count, nil)
	h.another(t, count, nil)
	h.waits(t, 0)
	for len(h.out.mails) > 0 { // what the house's own gate has taken
		_ = count(<-h.out.mails)
	}
	mu.Lock()
	defer mu.Unlock()
	if len(seen) != many {
		t.Errorf("%d of %d were sent", len(seen), many)
	}
	for to, n := range seen {
		if n != 1 {
			t.Errorf("%s was sent %d mails", to, n)
		}
	}
}
