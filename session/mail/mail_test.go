package mail

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"math/big"
	"mime"
	"mime/quotedprintable"
	"net"
	"net/mail"
	"strings"
	"testing"
	"time"

	"github.com/neosc/gate/session"
)

var now = time.Date(2026, 3, 5, 10, 15, 30, 0, time.UTC)

// server speaks as much SMTP as a client needs.
type server struct {
	l        net.Listener
	tls      *tls.Config
	starttls bool
	deaf     bool   // says nothing at all
	rcpt     string // its answer to a recipient, "250 fine" if empty
	got      chan delivered
	roots    *x509.CertPool
}

type delivered struct {
	auth, from, to, data string
	secure               bool
}

func serve(t *testing.T, change func(*server)) *server {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature}
	der, err := x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	s := &server{got: make(chan delivered, 1), roots: x509.NewCertPool(), starttls: true, tls: &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}}
	s.roots.AddCert(parsed)
	if s.l, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.l.Close() })
	implicit := false
	if change != nil {
		change(s)
		implicit = !s.starttls && s.tls != nil
	}
	go func() {
		for {
			conn, err := s.l.Accept()
			if err != nil {
				return
			}
			if implicit {
				conn = tls.Server(conn, s.tls)
			}
			go s.talk(conn, implicit)
		}
	}()
	return s
}

func (s *server) talk(conn net.Conn, secure bool) {
	defer func() { _ = conn.Close() }()
	if s.deaf {
		_, _ = io.Copy(io.Discard, conn)
		return
	}
	r := bufio.NewReader(conn)
	say := func(line string) { _, _ = io.WriteString(conn, line+"\r\n") }
	say("220 test")
	d := delivered{secure: secure}
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return
		}
		line = strings.TrimSpace(line)
		switch verb, rest, _ := strings.Cut(line, " "); strings.ToUpper(verb) {
		case "EHLO":
			if s.starttls && !d.secure {
				say("250-test\r\n250 STARTTLS")
			} else {
				say("250-test\r\n250 AUTH PLAIN")
			}
		case "STARTTLS":
			say("220 go on")
			conn = tls.Server(conn, s.tls)
			r, d.secure = bufio.NewReader(conn), true
		case "AUTH":
			d.auth = rest
			say("235 welcome")
		case "MAIL":
			d.from = rest
			say("250 fine")
		case "RCPT":
			d.to = rest
			say(cmp.Or(s.rcpt, "250 fine"))
		case "DATA":
			say("354 go on")
			for {
				line, err := r.ReadString('\n')
				if err != nil || line == ".\r\n" {
					break
				}
				d.data += line
			}
			say("250 fine")
			s.got <- d
		case "QUIT":
			say("221 bye")
			return
		default:
			say("250 fine")
		}
	}
}

func (s *server) client(t *testing.T, change func(*SMTPOptions)) *SMTP {
	t.Helper()
	o := SMTPOptions{Address: s.l.Addr().String(), From: "NeoSC <gate@kappa4.com>", Roots: s.roots, Clock: func() time.Time { return now }}
	if change != nil {
		change(&o)
	}
	c, err := NewSMTP(o)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

var letter = session.Mail{To: "ana@example.com", Subject: "Confirm, señora", Text: "Open this:\n\nhttps://gate.kappa4.com/account/verify?token=abc\n.\nñ\n"}

func TestMailGoesOutOverTLSOnly(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change   func(*server)
		security Security
	}{
		"StartTLS": {nil, StartTLS}, "Implicit": {func(s *server) { s.starttls = false }, Implicit},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := serve(t, c.change)
			err := s.client(t, func(o *SMTPOptions) { o.Security, o.Username, o.Password = c.security, "gate", "sesame" }).SendMail(t.Context(), letter)
			if err != nil {
				t.Fatal(err)
			}
			d := <-s.got
			if !d.secure || d.from != "FROM:<gate@kappa4.com>" || d.to != "TO:<ana@example.com>" || d.auth != "PLAIN AGdhdGUAc2VzYW1l" {
				t.Errorf("%+v", d)
			}
			m, err := mail.ReadMessage(strings.NewReader(d.data))
			if err != nil {
				t.Fatal(err)
			}
			subject, err := new(mime.WordDecoder).DecodeHeader(m.Header.Get("Subject"))
			text, failed := io.ReadAll(quotedprintable.NewReader(m.Body))
			if err != nil || failed != nil || subject != letter.Subject || strings.ReplaceAll(string(text), "\r\n", "\n") != strings.Replace(letter.Text, "\n.\n", "\n..\n", 1) {
				t.Errorf("subject %q, text %q, errors %v %v", subject, text, err, failed)
			}
			if m.Header.Get("Date") != "Thu, 05 Mar 2026 10:15:30 +0000" || m.Header.Get("Auto-Submitted") != "auto-generated" || !strings.HasSuffix(m.Header.Get("Message-ID"), "@kappa4.com>") {
				t.Errorf("headers %v", m.Header)
			}
		})
	}
}

func TestMailIsNotSentWhereItCouldBeRead(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		server func(*server)
		client func(*SMTPOptions)
	}{
		"NoStartTLSOffered": {func(s *server) { s.starttls, s.tls = false, nil }, nil},
		"ForeignAuthority":  {nil, func(o *SMTPOptions) { o.Roots = x509.NewCertPool() }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := serve(t, c.server)
			if err := s.client(t, c.client).SendMail(t.Context(), letter); err == nil {
				t.Error("it was sent")
			}
			select {
			case d := <-s.got:
				t.Errorf("the server got %+v", d)
			default:
			}
		})
	}
}

func TestPlainSMTPIsForLoopback(t *testing.T) {
	t.Parallel()
	s := serve(t, func(s *server) { s.starttls, s.tls = false, nil })
	if err := s.client(t, func(o *SMTPOptions) { o.Security = Plain }).SendMail(t.Context(), letter); err != nil {
		t.Error(err)
	}
	for name, o := range map[string]SMTPOptions{
		"in the clear": {Address: "192.0.2.1:25", From: "a@b.c", Security: Plain}, "HOST:PORT": {Address: "mail.example.com", From: "a@b.c"},
		"sender": {Address: "mail.example.com:587", From: "gate"}, "no security": {Address: "m.example.com:25", From: "a@b.c", Security: "maybe"},
		"password": {Address: "m.example.com:25", From: "a@b.c", Username: "x"},
	} {
		if _, err := NewSMTP(o); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("error %v, want one that says %q", err, name)
		}
	}
}

func TestServerThatSaysNothingHoldsNobody(t *testing.T) {
	t.Parallel()
	s := serve(t, func(s *server) { s.deaf = true })
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- s.client(t, nil).SendMail(ctx, letter) }()
	select {
	case err := <-done:
		if err == nil {
			t.Error("it was sent")
		}
	case <-time.After(20 * time.Second):
		t.Error("it still waits")
	}
}

func TestHeadersCannotBeSmuggledIn(t *testing.T) {
	t.Parallel()
	for _, m := range []session.Mail{
		{To: "a@example.com\r\nBcc: b@example.com", Subject: "x"}, {To: "a@example.com", Subject: "x\r\nBcc: b@example.com"},
		{To: "Ana <a@example.com>"}, {To: "a@example.com, b@example.com"}, {To: ""}, {To: "a@example.com", Text: strings.Repeat("x", maxText+1)},
	} {
		if _, _, err := message(m, &mail.Address{Address: "gate@kappa4.com"}, now); err == nil {
			t.Errorf("%.80q was taken", m)
		}
	}
}

func TestConsoleShowsTheLinkAndNoControlCharacters(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	if err := NewConsole(&b).SendMail(t.Context(), session.Mail{To: "ana@example.com", Subject: "Hi", Text: "Open\nhttps://gate/x?token=1\n\x1b[31mred\n"}); err != nil {
		t.Fatal(err)
	}
	if got := b.String(); !strings.Contains(got, "Mail to ana@example.com: Hi\n  Open\n  https://gate/x?token=1\n") || strings.Contains(got, "\x1b") {
		t.Errorf("%q", got)
	}
}

func TestALastWordOnAMailIsToldFromTrouble(t *testing.T) {
	t.Parallel()
	for answer, final := range map[string]bool{
		"550 5.1.1 no such mailbox": true, "552 the mailbox is full": true, "450 4.2.0 greylisted, come again": false,
		"421 closing": false, "530 5.7.0 sign in first": false, "554 5.7.1 relay access denied": false,
	} {
		s := serve(t, func(s *server) { s.rcpt = answer })
		m, err := NewSMTP(SMTPOptions{Address: s.l.Addr().String(), From: "gate@kappa4.com", Roots: s.roots})
		if err != nil {
			t.Fatal(err)
		}
		err = m.SendMail(t.Context(), session.Mail{To: "ana@example.com", Subject: "x", Text: "x"})
		if err == nil || errors.Is(err, session.ErrMailRefused) != final {
			t.Errorf("%s: error %v", answer, err)
		}
	}
}
