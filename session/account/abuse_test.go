package account

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/neosc/gate/session"
)

func TestRegistrationIsClosedUnlessOpened(t *testing.T) {
	t.Parallel()
	h := newHouse(t, nil, func(o *ServiceOptions) { o.Open = false })
	if h.s.RegistrationOpen() {
		t.Error("it is open")
	}
	_, err := h.s.Register(t.Context(), session.Registration{Email: "ana@example.com", Password: password}, "203.0.113.9")
	wantErr(t, err, session.ErrRegistrationClosed)
	if _, err := h.s.Invite(t.Context(), session.NewInvitation{Organization: session.DefaultOrganizationID, Email: "ana@example.com"}); err != nil {
		t.Fatal(err)
	}
	id, err := h.s.Register(t.Context(), session.Registration{Email: "ana@example.com", Password: password, Invitation: h.out.token(t, "ana@example.com", session.InvitationPath)}, "203.0.113.9")
	if err != nil || !id.EmailVerified {
		t.Errorf("%+v, error %v", id, err)
	}
}

func TestWithoutMailNothingWaitsForOne(t *testing.T) {
	t.Parallel()
	h := newHouse(t, nil, func(o *ServiceOptions) { o.Open, o.Mailer = false, nil })
	wantErr(t, h.s.RequestReset(t.Context(), "ana@example.com", "203.0.113.9"), session.ErrNoMail)
	i, err := h.s.Invite(t.Context(), session.NewInvitation{Organization: session.DefaultOrganizationID, Email: "ana@example.com"})
	token, found := strings.CutPrefix(i.Link, "https://gate.kappa4.com"+session.InvitationPath+"?token=")
	if err != nil || !found {
		t.Fatalf("link %q, error %v", i.Link, err)
	}
	id, err := h.s.Register(t.Context(), session.Registration{Email: "ana@example.com", Password: password, Invitation: token}, "203.0.113.9")
	if err != nil || !id.EmailVerified {
		t.Errorf("%+v, error %v", id, err)
	}
	if err := h.s.ChangePassword(t.Context(), id.UserID, password, "a brand new password", "203.0.113.9", session.Key{}); err != nil {
		t.Error(err)
	}
}

// TestKnownAndUnknownEmailsCostTheSame counts hashes and events: of an answer's
// time, hashing is nearly all.
func TestKnownAndUnknownEmailsCostTheSame(t *testing.T) {
	t.Parallel()
	h := newHouse(t, nil, nil)
	h.add(t, "known@example.com")
	for name, call := range map[string]func(email string) error{
		"Register": func(email string) error {
			_, err := h.s.Register(t.Context(), session.Registration{Email: email, Password: "a brand new password"}, "203.0.113.9")
			return err
		},
		"RequestReset": func(email string) error { return h.s.RequestReset(t.Context(), email, "203.0.113.9") },
	} {
		var hashes []int64
		for _, email := range []string{"known@example.com", "unknown@example.com"} {
			before := h.hashes.Load()
			if err := call(email); err != nil {
				t.Errorf("%s of %s: %v", name, email, err)
			}
			hashes = append(hashes, h.hashes.Load()-before)
		}
		if hashes[0] != hashes[1] {
			t.Errorf("%s: %d hashes for a known email, %d for an unknown one", name, hashes[0], hashes[1])
		}
	}
}

func TestNobodyIsFloodedWithMail(t *testing.T) {
	t.Parallel()
	h := newHouse(t, nil, func(o *ServiceOptions) { o.PerEmail = Guesses{Burst: 3, Every: 20 * time.Minute} })
	sent := 0
	for i := range 6 {
		var err error
		if i%2 == 0 {
			_, err = h.s.Register(t.Context(), session.Registration{Email: "Ana@example.com", Password: password}, "203.0.113.9")
		} else {
			err = h.s.RequestReset(t.Context(), "ana@EXAMPLE.com", "198.51.100.7")
		}
		var tooMany *session.TooManyGuessesError
		switch {
		case err == nil:
			sent++
		case !errors.As(err, &tooMany) || tooMany.RetryAfter <= 0:
			t.Error(err)
		}
	}
	if sent != 3 {
		t.Errorf("%d of 6 went through, want 3", sent)
	}
}

func TestGuessesAtLinksAndPasswordsAreCounted(t *testing.T) {
	t.Parallel()
	h := newHouse(t, func(o *Options) { o.PerAccount.Burst, o.PerAddress.Burst = 3, 5 }, nil)
	if _, err := h.s.Register(t.Context(), session.Registration{Email: "ana@example.com", Password: password}, "203.0.113.1"); err != nil {
		t.Fatal(err)
	}
	token := h.out.token(t, "ana@example.com", session.VerifyPath)
	var tooMany *session.TooManyGuessesError
	for i := range 4 {
		_, err := h.s.VerifyEmail(t.Context(), token, "a wrong password", "203.0.113."+string(rune('2'+i)))
		if (i < 3) != errors.Is(err, session.ErrCredentials) || (i == 3) != errors.As(err, &tooMany) {
			t.Errorf("guess %d at the password: %v", i, err)
		}
	}
	for i := range 6 {
		_, err := h.s.ResetPassword(t.Context(), newToken(), "a brand new password", "198.51.100.7")
		if (i < 5) != errors.Is(err, session.ErrLink) || (i == 5) != errors.As(err, &tooMany) {
			t.Errorf("guess %d at a link: %v", i, err)
		}
	}
}

func TestMailsAreTriedAgainAndTheirQueueHasAnEnd(t *testing.T) {
	t.Parallel()
	h := newHouse(t, nil, nil)
	h.out.mu.Lock()
	h.out.fail = 2
	h.out.mu.Unlock()
	h.join(t, "ana@example.com")                                                     // the third try gets through
	h = newHouse(t, nil, func(o *ServiceOptions) { o.Mailer = nil; o.Open = false }) // of which nobody sends what waits
	s, err := NewService(ServiceOptions{Store: h.rig.Store, Sessions: h.sessions, Mailer: h.out, Origin: "https://gate.kappa4.com", Open: true, Queue: 1,
		PerEmail: Guesses{Burst: 100, Every: time.Minute}})
	if err != nil {
		t.Fatal(err)
	}
	before := h.hashes.Load()
	for i, want := range []error{nil, session.ErrBusy} {
		_, err := s.Register(t.Context(), session.Registration{Email: "bob@example.com", Password: password}, "203.0.113.9")
		if !errors.Is(err, want) {
			t.Errorf("registration %d: error %v, want %v", i, err, want)
		}
	}
	if n := h.hashes.Load() - before; n != 1 {
		t.Errorf("%d hashes; one that cannot be mailed is not worth any", n)
	}
	wantErr(t, s.RequestReset(t.Context(), "ana@example.com", "203.0.113.9"), session.ErrBusy)
}

func TestLinksAreKeptAsHashesAndLeadToTheConfiguredOriginOnly(t *testing.T) {
	t.Parallel()
	h := newHouse(t, nil, nil)
	if _, err := h.s.Register(t.Context(), session.Registration{Email: "ana@example.com", Password: password}, "203.0.113.9"); err != nil {
		t.Fatal(err)
	}
	token := h.out.token(t, "ana@example.com", session.VerifyPath)
	var hash, data string
	if err := h.db.QueryRow(`SELECT hash, data FROM links`).Scan(&hash, &data); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(hash+data, token) || strings.Contains(data, password) || len(token) != 43 {
		t.Errorf("the table has %s %s of the token %s", hash, data, token)
	}
	for _, odd := range []string{"", "x", token + "A", token[:42], strings.ToUpper(token), strings.Repeat("x", 1<<20)} {
		_, err := h.s.VerifyEmail(t.Context(), odd, password, "203.0.113.9")
		wantErr(t, err, session.ErrLink)
	}
}

func TestNewServiceSaysWhichOptionIsWrong(t *testing.T) {
	t.Parallel()
	h := newHouse(t, nil, nil)
	for name, spoil := range map[string]func(*ServiceOptions){
		"Store": func(o *ServiceOptions) { o.Store = nil }, "Origin": func(o *ServiceOptions) { o.Origin = "" }, "mail": func(o *ServiceOptions) { o.Mailer = nil },
		"Queue": func(o *ServiceOptions) { o.Queue = -1 }, "PerEmail": func(o *ServiceOptions) { o.PerEmail = Guesses{Burst: 1} },
	} {
		o := h.s.o
		spoil(&o)
		if _, err := NewService(o); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("error %v, want one that names %q", err, name)
		}
	}
}
