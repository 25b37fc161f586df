package account

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/neosc/gate/session"
)

func TestNewPasswordsAreJudgedByLengthAndByWhatEverybodyTries(t *testing.T) {
	t.Parallel()
	rules := DefaultRules()
	whose := []string{"ana.lopez@example.com", "Ana María López"}
	for name, p := range map[string]string{
		"Short": "k4$Zq9w", "Common": "password", "CommonInCapitals": "PassWord", "CommonWithYear": "sunshine2024", "CommonWithSigns": "!football!!", "Sequence": "1234567890",
		"Keyboard": "qwertyuiop", "OneLetter": "aaaaaaaaaaaa", "Repeated": "xyzxyzxyzxyz", "Downwards": "987654321", "Email": "ana.lopez@example.com",
		"EmailPart": "ana.lopez1", "Name": "Lópezmaría12", "Service": "NeoSC-2026!", "FullWidth": "ｐａｓｓｗｏｒｄ", "Broken": "\xffabcdefghijkl", "Megabyte": strings.Repeat("x", 1<<20),
	} {
		if _, err := rules.check(p, whose...); err == nil || !strings.Contains(err.Error(), session.ErrBadUser.Error()) {
			t.Errorf("%s: error %v", name, err)
		} else if len(p) < 100 && len(p) > 8 && strings.Contains(err.Error(), p) {
			t.Errorf("%s: the error shows the password: %v", name, err)
		}
	}
	for name, p := range map[string]string{
		"TheSourcesExample": "SecurePassword123", "Passphrase": "correct horse battery", "NoDigits": "kjwqznvbtr", "Spaces": "  k j w q z  ",
		"Unicode64": strings.Repeat("ñ語", 32), "Longest": "k" + strings.Repeat("x", MaxPassword-1), "NameAndMore": "lopez keeps bees",
	} {
		if _, err := rules.check(p, whose...); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	rules.Min = MinPasswordAlone
	if _, err := rules.check("fourteen chars"); err == nil {
		t.Error("14 characters are enough for a password alone")
	}
	if _, err := rules.check("fifteen chars !"); err != nil {
		t.Error(err)
	}
}

func TestBlocklistHasTheMostCommonPasswordsAndIsSorted(t *testing.T) {
	t.Parallel()
	if n := len(blocklist) / blockedSize; len(blocklist)%blockedSize != 0 || n < 1000 {
		t.Fatalf("%d bytes", len(blocklist))
	}
	for i := blockedSize; i < len(blocklist); i += blockedSize {
		if blocklist[i-blockedSize:i] >= blocklist[i:i+blockedSize] {
			t.Fatalf("entry %d is not above the one before", i/blockedSize)
		}
	}
	for _, p := range []string{"password", "123456789", "qwerty123", "iloveyou", "princess", "football", "letmein"} {
		if !inBlocklist(p) {
			t.Errorf("%q is not in the list", p)
		}
	}
	for _, p := range []string{"", "securepassword", "correct horse battery"} {
		if inBlocklist(p) {
			t.Errorf("%q is in the list", p)
		}
	}
}

func TestOnePasswordIsOneHoweverItIsTyped(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	const composed, decomposed = "contras\u00e9\u00f1a larga", "contrase\u0301n\u0303a larga"
	if _, err := r.AddUser(t.Context(), session.NewUser{Email: "ana@example.com", Password: decomposed}); err != nil {
		t.Fatal(err)
	}
	for _, p := range []string{composed, decomposed} {
		if _, err := r.SignIn(t.Context(), "ana@example.com", p, ""); err != nil {
			t.Errorf("%q: %v", p, err)
		}
	}
}

func FuzzPasswordRules(f *testing.F) {
	for _, p := range []string{"password", "aaaaaaaa", "\xff", "ａｂｃ", strings.Repeat("語", 400), "ana@example.com"} {
		f.Add(p, "ana@example.com")
	}
	rules := DefaultRules()
	f.Fuzz(func(t *testing.T, p, whose string) {
		got, err := rules.check(p, whose)
		if err != nil {
			return
		}
		if n := utf8.RuneCountInString(got); n < rules.Min || !couldBePassword(p) {
			t.Errorf("%q was taken with %d characters", p, n)
		}
		if again, err := rules.check(got, whose); err != nil || again != got {
			t.Errorf("%q becomes %q, and that %q with error %v", p, got, again, err)
		}
	})
}
