package config_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/neosc/gate/cmd/gate/internal/config"
)

func TestPasswordsAloneNeedToBeLonger(t *testing.T) {
	t.Parallel()
	for accounts, want := range map[string]int{"{}": 15, "{mfa: required}": 8, "{mfa: admins}": 15, "{mfa: optional}": 15, "{password_min: 12}": 12, "{mfa: required, password_min: 20}": 20} {
		c, err := config.Parse("gate.yaml", []byte(least+"accounts: "+accounts+"\n"), nil)
		if err != nil || c.Accounts.PasswordMin != want {
			t.Errorf("%s: error %v, want %d", accounts, err, want)
		}
	}
}

func TestMailNeedsAllOfItsSettings(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "secret"), []byte("sesame\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	const smtp = `send: smtp, server: "m.example.com:587", from: gate@example.com`
	for mail, want := range map[string]string{
		"send: pigeon":                                   "accounts.mail.send must be off, smtp or console",
		"send: smtp, from: a@example.com":                "accounts.mail.server is empty",
		`send: smtp, server: "m.example.com:587"`:        "accounts.mail.from is empty",
		smtp + ", security: maybe":                       "accounts.mail.security must be",
		smtp + ", username: gate":                        "accounts.mail.username needs password_file",
		smtp + ", password_file: secret":                 "accounts.mail.username needs password_file",
		smtp + ", username: gate, password_file: none":   "accounts.mail.password_file",
		smtp + ", username: gate, password_file: secret": "",
	} {
		c, err := config.Parse(filepath.Join(dir, "gate.yaml"), []byte(least+"accounts: {mail: {"+mail+"}}\n"), nil)
		switch {
		case want != "" && (err == nil || !strings.Contains(err.Error(), want)):
			t.Errorf("%s: error %v, want one that says %q", mail, err, want)
		case want == "" && (err != nil || c.Accounts.Mail.Password() != "sesame"):
			t.Errorf("%s: error %v", mail, err)
		}
	}
}
