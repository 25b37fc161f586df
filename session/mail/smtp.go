package mail

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/mail"
	"net/smtp"
	"net/textproto"
	"strings"
	"time"

	"github.com/neosc/gate/session"
)

// Security is how a connection to an SMTP server is kept from being read.
type Security string

// The ways of it. Links open accounts, so that Plain is for loopback alone.
const (
	// StartTLS begins in the clear and goes on in TLS or not at all (RFC 3207), mostly on port 587.
	StartTLS Security = "starttls"
	// Implicit is TLS from the first byte (RFC 8314), mostly on port 465.
	Implicit Security = "implicit"
	Plain    Security = "off"
)

// SMTPOptions set up an SMTP. Address and From are needed.
type SMTPOptions struct {
	// Address is the server's HOST:PORT.
	Address string
	// Security is StartTLS if empty.
	Security Security
	// Username and Password sign in at the server (AUTH PLAIN); both or none.
	Username, Password string
	// From is the sender, with a name or without.
	From string
	// Roots are whom the server's certificate may be from; nil: the system's.
	Roots *x509.CertPool
	// Clock is time.Now if nil.
	Clock func() time.Time
}

// SMTP sends mail through a server, by one connection a mail: it implements
// session.Mailer.
type SMTP struct {
	o    SMTPOptions
	host string
	from *mail.Address
}

// maxTime bounds a mail where the context does not.
const maxTime = time.Minute

// NewSMTP returns an SMTP, or says which option is wrong. The server is not
// asked yet.
func NewSMTP(o SMTPOptions) (*SMTP, error) {
	host, port, err := net.SplitHostPort(o.Address)
	if err != nil || host == "" || port == "" {
		return nil, fmt.Errorf("the address %q is not HOST:PORT", o.Address)
	}
	from, err := mail.ParseAddress(o.From)
	if err != nil {
		return nil, fmt.Errorf("the sender %q is not an email address", o.From)
	}
	if o.Security == "" {
		o.Security = StartTLS
	}
	switch {
	case o.Security != StartTLS && o.Security != Implicit && o.Security != Plain:
		return nil, fmt.Errorf("there is no security %q: want starttls, implicit or off", o.Security)
	case o.Security == Plain && !loopback(host):
		return nil, fmt.Errorf("mail to %s would go in the clear, and its links open accounts: use starttls or implicit; off is for loopback", host)
	case (o.Username == "") != (o.Password == ""):
		return nil, errors.New("a user name needs a password, and the other way round")
	}
	if o.Clock == nil {
		o.Clock = time.Now
	}
	return &SMTP{o: o, host: host, from: from}, nil
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// SendMail implements session.Mailer.
func (s *SMTP) SendMail(ctx context.Context, m session.Mail) error {
	to, raw, err := message(m, s.from, s.o.Clock())
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, maxTime)
	defer cancel()
	conn, err := s.dial(ctx)
	if err != nil {
		return fmt.Errorf("mail: %w", err)
	}
	// Whatever the conversation waits for, it ends with ctx.
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	defer func() { _ = conn.Close() }()
	if err := s.deliver(conn, to, raw); err != nil {
		if ctx.Err() != nil {
			err = ctx.Err()
		}
		return fmt.Errorf("mail: %s: %w", s.o.Address, err)
	}
	return nil
}

func (s *SMTP) tls() *tls.Config {
	return &tls.Config{ServerName: s.host, RootCAs: s.o.Roots, MinVersion: tls.VersionTLS12}
}

func (s *SMTP) dial(ctx context.Context) (net.Conn, error) {
	if s.o.Security == Implicit {
		return (&tls.Dialer{Config: s.tls()}).DialContext(ctx, "tcp", s.o.Address)
	}
	return (&net.Dialer{}).DialContext(ctx, "tcp", s.o.Address)
}

// deliver has the whole conversation.
func (s *SMTP) deliver(conn net.Conn, to string, raw []byte) error {
	c, err := smtp.NewClient(conn, s.host)
	if err != nil {
		return err
	}
	if s.o.Security == StartTLS {
		// A server that says it cannot may be somebody on the way who says so.
		if ok, _ := c.Extension("STARTTLS"); !ok {
			return errors.New("the server does not offer STARTTLS, and nothing is sent without it")
		}
		if err := c.StartTLS(s.tls()); err != nil {
			return err
		}
	}
	if s.o.Username != "" {
		if err := c.Auth(smtp.PlainAuth("", s.o.Username, s.o.Password, s.host)); err != nil {
			return fmt.Errorf("signing in: %w", err)
		}
	}
	if err := c.Mail(s.from.Address); err != nil {
		return err
	}
	if err := c.Rcpt(to); err != nil {
		return forGood(err)
	}
	w, err := c.Data()
	if err != nil {
		return err
	}
	if _, err := w.Write(raw); err != nil {
		return err
	}
	if err := w.Close(); err != nil {
		return forGood(err)
	}
	_ = c.Quit() // it is delivered by now
	return nil
}

// forGood marks a server's last word on a mail, which is not sent again: there
// is no such mailbox, or it takes no such text (RFC 5321, 4.2.3). What its policy
// is against (5.7.x of RFC 3463), such as who may send, somebody can still mend.
func forGood(err error) error {
	if e, ok := errors.AsType[*textproto.Error](err); ok && e.Code >= 550 && !strings.HasPrefix(e.Msg, "5.7.") {
		return fmt.Errorf("%w: %w", session.ErrMailRefused, err)
	}
	return err
}
