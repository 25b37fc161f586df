package config

import (
	"path/filepath"
	"slices"
)

// Values of accounts.registration and accounts.mail.send.
const (
	RegistrationOpen   = "open"
	RegistrationClosed = "closed"
	MailOff            = "off"
	MailSMTP           = "smtp"
	MailConsole        = "console"
)

// Mail says how one-time links reach people.
type Mail struct {
	// Send is off, smtp, or console, which prints the mails: on *.localhost alone.
	Send string `yaml:"send"`
	// Server is the SMTP server's HOST:PORT. Security is starttls, implicit, or
	// off on loopback.
	Server   string `yaml:"server"`
	Security string `yaml:"security"`
	// Username signs in at the server, with what PasswordFile holds; none if empty.
	Username     string `yaml:"username"`
	PasswordFile string `yaml:"password_file"`
	// From is the sender: "NeoSC <gate@kappa4.com>".
	From string `yaml:"from"`

	password string
}

// Password is what PasswordFile holds.
func (m *Mail) Password() string { return m.password }

func (c *Config) checkAccounts(dir string) error {
	a, m := &c.Accounts, &c.Accounts.Mail
	if a.PasswordMin == 0 {
		// NIST SP 800-63B-4, 3.1.1.2: a password alone needs 15 characters.
		if a.PasswordMin = 15; a.MFA == "required" {
			a.PasswordMin = 8
		}
	}
	switch {
	case a.Registration != RegistrationOpen && a.Registration != RegistrationClosed:
		return c.errf("accounts.registration", "must be closed or open")
	case a.PasswordMin < 8 || a.PasswordMin > 64:
		return c.errf("accounts.password_min", "must be from 8 to 64 characters, or left out: 8 where a second factor is asked of all, else 15")
	case !slices.Contains([]string{MailOff, MailSMTP, MailConsole}, m.Send):
		return c.errf("accounts.mail.send", "must be off, smtp or console")
	case m.Send == MailConsole && !localhost(c.Cookie.Domain):
		return c.errf("accounts.mail.send", "is console, which prints links that open accounts: it is for *.localhost only; use smtp")
	case a.Registration == RegistrationOpen && m.Send == MailOff:
		return c.errf("accounts.registration", "is open, but nobody could prove an email: set accounts.mail")
	case m.Send == MailSMTP && m.Server == "":
		return c.errf("accounts.mail.server", "is empty; name the SMTP server, e.g. smtp.example.com:587")
	case m.Send == MailSMTP && m.From == "":
		return c.errf("accounts.mail.from", "is empty; name the sender, e.g. NeoSC <gate@example.com>")
	case !slices.Contains([]string{"starttls", "implicit", "off"}, m.Security):
		return c.errf("accounts.mail.security", "must be starttls, implicit or off (on loopback)")
	case (m.Username == "") != (m.PasswordFile == ""):
		return c.errf("accounts.mail.username", "needs password_file, and that a username")
	}
	if m.PasswordFile == "" {
		return nil
	}
	if !filepath.IsAbs(m.PasswordFile) {
		m.PasswordFile = filepath.Join(dir, m.PasswordFile)
	}
	var err error
	if m.password, err = readSecret(m.PasswordFile); err != nil {
		return c.errf("accounts.mail.password_file", "%v", err)
	}
	return nil
}
