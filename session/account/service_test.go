package account

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/neosc/gate/session"
)

// serviceLife is all that people and administrators do, one after another.
func serviceLife(t *testing.T, name string, change func(*Options)) {
	for _, c := range []struct {
		name string
		run  func(*testing.T, *house)
	}{
		{"Registering", registering}, {"Resetting", resetting}, {"ChangingPasswords", changingPasswords}, {"OldHashes", oldHashes},
		{"Administering", administering}, {"Admins", lastAdmins}, {"Listing", listing}, {"Tenants", tenants}, {"Inviting", inviting}, {"Unaudited", unaudited}, {"Demoting", demoting}, {"Posting", posting},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := newHouse(t, change, nil)
			if name == "Postgres" { // which all of them share
				if _, err := h.db.Exec(`DELETE FROM users; DELETE FROM links; DELETE FROM outbox; DELETE FROM organizations WHERE id <> 'org_default'`); err != nil {
					t.Fatal(err)
				}
			}
			c.run(t, h)
		})
	}
}

func registering(t *testing.T, h *house) {
	ctx := t.Context()
	h.organization(t, "Acme Corporation")
	h.journal.actions()
	id, err := h.s.Register(ctx, session.Registration{Email: "Ana@Example.com", Password: "SecurePassword123", Name: "John Doe", Organization: "Acme Corporation"}, "203.0.113.9")
	if err != nil {
		t.Fatal(err)
	}
	if len(id.Roles) != 0 || id.EmailVerified || id.Email != "ana@example.com" || id.Organization != session.DefaultOrganization || id.Claims["mfa_enabled"] != true || id.Claims["neosc:mfa"] != "required" {
		t.Errorf("who has only registered is %+v", id)
	}
	_, value := h.browse(t, id)
	_, err = h.SignIn(ctx, "ana@example.com", "SecurePassword123", "203.0.113.9")
	wantErr(t, err, session.ErrCredentials)
	token := h.out.token(t, "ana@example.com", session.VerifyPath)
	_, err = h.s.VerifyEmail(ctx, token, "another password", "203.0.113.9")
	wantErr(t, err, session.ErrCredentials)
	verified, err := h.s.VerifyEmail(ctx, token, "SecurePassword123", "203.0.113.9")
	if err != nil || !verified.EmailVerified || fmt.Sprintf("%v %s", verified.Roles, verified.Organization) != "[user] Default Organization" || verified.UserID != id.UserID {
		t.Errorf("%+v, error %v", verified, err)
	}
	if live := h.sees(t, value); live == nil || !live.EmailVerified || !slices.Equal(live.Roles, []string{"user"}) {
		t.Errorf("the session of the registration is %+v", live)
	}
	_, err = h.s.VerifyEmail(ctx, token, "SecurePassword123", "203.0.113.9")
	wantErr(t, err, session.ErrLink)
	if got := h.journal.actions(); got != "register email_verified role_assigned" {
		t.Errorf("events: %s", got)
	}
	if id, err := h.SignIn(ctx, "ana@example.com", "SecurePassword123", "203.0.113.9"); err != nil || !slices.Equal(id.Roles, []string{"user"}) {
		t.Errorf("%+v, error %v", id, err)
	}

	// Registered again: the same answer, a mail to the owner, nothing changed.
	again, err := h.s.Register(ctx, session.Registration{Email: "ana@example.com", Password: "SecurePassword456", Name: "Eve"}, "203.0.113.66")
	if err != nil || len(again.Roles) != 0 || again.EmailVerified || again.UserID == id.UserID || len(again.Claims) != len(id.Claims) {
		t.Errorf("%+v, error %v", again, err)
	}
	if m := h.out.next(t); m.To != "ana@example.com" || strings.Contains(m.Text, "token=") || !strings.Contains(m.Text, "already") {
		t.Errorf("the owner was told %q", m.Text)
	}
	_, err = h.SignIn(ctx, "ana@example.com", "SecurePassword456", "203.0.113.66")
	wantErr(t, err, session.ErrCredentials)
	racing(t, h)
}

// racing has two register one address, and one link be followed many times.
func racing(t *testing.T, h *house) {
	ctx := t.Context()
	tokens := make(map[string]string)
	for _, p := range []string{"the owner's password", "the thief's password"} {
		if _, err := h.s.Register(ctx, session.Registration{Email: "bob@example.com", Password: p}, "203.0.113.9"); err != nil {
			t.Fatal(err)
		}
		tokens[p] = h.out.token(t, "bob@example.com", session.VerifyPath)
	}
	_, err := h.s.VerifyEmail(ctx, tokens["the thief's password"], "the owner's password", "203.0.113.9")
	wantErr(t, err, session.ErrCredentials)
	var wg sync.WaitGroup
	won := make(chan bool, 8)
	for range 8 {
		wg.Go(func() {
			_, err := h.s.VerifyEmail(ctx, tokens["the owner's password"], "the owner's password", "203.0.113.9")
			if err != nil && !errors.Is(err, session.ErrLink) {
				t.Error(err)
			}
			won <- err == nil
		})
	}
	wg.Wait()
	close(won)
	n := 0
	for w := range won {
		if w {
			n++
		}
	}
	if n != 1 {
		t.Errorf("%d of 8 took the link", n)
	}
	_, err = h.s.VerifyEmail(ctx, tokens["the thief's password"], "the thief's password", "203.0.113.9")
	wantErr(t, err, session.ErrLink)
	if _, err := h.s.Register(ctx, session.Registration{Email: "late@example.com", Password: password}, "203.0.113.9"); err != nil {
		t.Fatal(err)
	}
	late := h.out.token(t, "late@example.com", session.VerifyPath)
	h.forward(verifyLife)
	_, err = h.s.VerifyEmail(ctx, late, password, "203.0.113.9")
	wantErr(t, err, session.ErrLink)
	if n, err := h.sweepLinks(ctx); err != nil || n != 2 { // and Eve's
		t.Errorf("%d links swept, error %v", n, err)
	}
}

func resetting(t *testing.T, h *house) {
	ctx := t.Context()
	_, value := h.browse(t, h.join(t, "ana@example.com"))
	h.journal.actions()
	for _, email := range []string{"nobody@example.com", "ana@example.com"} {
		if err := h.s.RequestReset(ctx, email, "203.0.113.9"); err != nil {
			t.Fatal(err)
		}
	}
	token := h.out.token(t, "ana@example.com", session.ResetPath)
	_, err := h.s.ResetPassword(ctx, token, "short", "203.0.113.9")
	wantErr(t, err, session.ErrBadUser)
	_, err = h.s.ResetPassword(ctx, strings.Repeat("A", 43), "a brand new password", "203.0.113.9")
	wantErr(t, err, session.ErrLink)
	if u, err := h.s.ResetPassword(ctx, token, "a brand new password", "203.0.113.9"); err != nil || u.Email != "ana@example.com" {
		t.Errorf("%+v, error %v", u, err)
	}
	if h.sees(t, value) != nil {
		t.Error("a session of before the reset goes on")
	}
	if m := h.out.next(t); !strings.Contains(m.Text, "was changed") {
		t.Errorf("the owner was told %q", m.Text)
	}
	_, err = h.s.ResetPassword(ctx, token, "yet another password", "203.0.113.9")
	wantErr(t, err, session.ErrLink)
	if got := h.journal.actions(); got != "password_reset_requested password_reset" {
		t.Errorf("events: %s", got)
	}
	_, err = h.SignIn(ctx, "ana@example.com", password, "203.0.113.9")
	wantErr(t, err, session.ErrCredentials)
	if _, err = h.SignIn(ctx, "ana@example.com", "a brand new password", "203.0.113.9"); err != nil {
		t.Error(err)
	}
	// A newer link makes the older void, and a link of one kind is none of another.
	var links []string
	for range 2 {
		if err := h.s.RequestReset(ctx, "ana@example.com", "203.0.113.9"); err != nil {
			t.Fatal(err)
		}
		links = append(links, h.out.token(t, "ana@example.com", session.ResetPath))
	}
	_, err = h.s.ResetPassword(ctx, links[0], "yet another password", "203.0.113.9")
	wantErr(t, err, session.ErrLink)
	_, err = h.s.VerifyEmail(ctx, links[1], "a brand new password", "203.0.113.9")
	wantErr(t, err, session.ErrLink)
	h.forward(resetLife)
	_, err = h.s.ResetPassword(ctx, links[1], "yet another password", "203.0.113.9")
	wantErr(t, err, session.ErrLink)
}

func changingPasswords(t *testing.T, h *house) {
	ctx := t.Context()
	id := h.join(t, "ana@example.com")
	mine, own := h.browse(t, id)
	_, other := h.browse(t, id)
	h.journal.actions()
	err := h.s.ChangePassword(ctx, id.UserID, "a wrong password", "a brand new password", "203.0.113.9", mine.Key)
	wantErr(t, err, session.ErrCredentials)
	err = h.s.ChangePassword(ctx, id.UserID, password, "ana@example.com", "203.0.113.9", mine.Key)
	wantErr(t, err, session.ErrBadUser)
	if err := h.s.ChangePassword(ctx, id.UserID, password, "a brand new password", "203.0.113.9", mine.Key); err != nil {
		t.Fatal(err)
	}
	if h.sees(t, own) == nil || h.sees(t, other) != nil {
		t.Errorf("after the change the own session is %v, the other %v", h.sees(t, own), h.sees(t, other))
	}
	if got := h.journal.actions(); got != "password_changed password_changed" { // the wrong guess as well
		t.Errorf("events: %s", got)
	}
	if err := h.s.ChangePassword(ctx, id.UserID, "a brand new password", "yet another password", "203.0.113.9", session.Key{}); err != nil || h.sees(t, own) != nil {
		t.Errorf("error %v; without one to keep, all sessions end", err)
	}
}

func oldHashes(t *testing.T, h *house) {
	ctx := t.Context()
	// hashlib.sha256("hunter2".encode()).hexdigest(): shorter than new ones may be.
	const sum = "F52FBD32B2B3B86FF88EF6C490628285F482AF15DDCB29541F94BCF526A3F6C7"
	u, err := h.AddUser(ctx, session.NewUser{Email: "old@example.com", Name: "Old", Roles: []string{"user"}, PasswordSHA256: sum})
	if err != nil || !u.EmailVerified || !u.MFA {
		t.Fatalf("%+v, error %v", u, err)
	}
	kept, err := h.Get(ctx, "old@example.com")
	if err != nil || !strings.HasPrefix(kept.PasswordHash, "$argon2id-sha256$") || strings.Contains(strings.ToUpper(kept.PasswordHash), sum[:16]) {
		t.Errorf("kept as %q, error %v", kept.PasswordHash, err)
	}
	for _, wrong := range []string{"hunter3", strings.ToLower(sum), sum} {
		_, err = h.SignIn(ctx, "old@example.com", wrong, "203.0.113.9")
		wantErr(t, err, session.ErrCredentials)
	}
	before := h.hashes.Load()
	if id, err := h.SignIn(ctx, "old@example.com", "hunter2", "203.0.113.9"); err != nil || id.UserID != u.ID {
		t.Fatalf("%+v, error %v", id, err)
	}
	if n := h.hashes.Load() - before; n != 2 {
		t.Errorf("%d hashes, want one to look and one to renew", n)
	}
	if kept, err = h.Get(ctx, "old@example.com"); err != nil || !strings.HasPrefix(kept.PasswordHash, "$argon2id$") {
		t.Errorf("kept as %q after the first sign-in, error %v", kept.PasswordHash, err)
	}
	if _, err := h.SignIn(ctx, "old@example.com", "hunter2", "203.0.113.9"); err != nil {
		t.Error(err)
	}
	for _, bad := range []session.NewUser{
		{Email: "x@example.com", PasswordSHA256: "abc"}, {Email: "x@example.com", PasswordSHA256: sum + "00"},
		{Email: "x@example.com", PasswordSHA256: sum, Password: password}, {Email: "x", PasswordSHA256: sum},
	} {
		_, err := h.AddUser(ctx, bad)
		wantErr(t, err, session.ErrBadUser)
	}
}
