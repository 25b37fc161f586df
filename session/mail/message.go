package mail

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"mime"
	"mime/quotedprintable"
	"net/mail"
	"strings"
	"time"

	"github.com/neosc/gate/session"
)

// maxText bounds a mail's text, in bytes.
const maxText = 64 << 10

// message returns a mail as it is sent (RFC 5322, MIME), and its recipient. A
// line break in a header would be another header, and is refused.
func message(m session.Mail, from *mail.Address, now time.Time) (to string, raw []byte, err error) {
	if strings.ContainsAny(m.To, "\r\n\x00") || strings.ContainsAny(m.Subject, "\r\n\x00") {
		return "", nil, errors.New("mail: the recipient or the subject has a line break")
	}
	a, err := mail.ParseAddress(m.To)
	if err != nil || a.Address != m.To {
		return "", nil, errors.New("mail: the recipient is not one plain address")
	}
	if len(m.Text) > maxText {
		return "", nil, fmt.Errorf("mail: the text has %d bytes, at most %d are allowed", len(m.Text), maxText)
	}
	_, domain, _ := strings.Cut(from.Address, "@")
	var id [16]byte
	_, _ = rand.Read(id[:])
	var b bytes.Buffer
	for _, h := range [][2]string{
		{"From", from.String()}, {"To", "<" + a.Address + ">"}, {"Subject", mime.QEncoding.Encode("utf-8", m.Subject)},
		{"Date", now.UTC().Format(time.RFC1123Z)}, {"Message-ID", "<" + hex.EncodeToString(id[:]) + "@" + domain + ">"},
		{"Auto-Submitted", "auto-generated"}, // RFC 3834: no vacation notice comes back
		{"MIME-Version", "1.0"}, {"Content-Type", "text/plain; charset=utf-8"}, {"Content-Transfer-Encoding", "quoted-printable"},
	} {
		b.WriteString(h[0] + ": " + h[1] + "\r\n")
	}
	b.WriteString("\r\n")
	q := quotedprintable.NewWriter(&b)
	if _, err := q.Write([]byte(strings.ReplaceAll(m.Text, "\n", "\r\n"))); err != nil {
		return "", nil, fmt.Errorf("mail: %w", err)
	}
	if err := q.Close(); err != nil {
		return "", nil, fmt.Errorf("mail: %w", err)
	}
	return a.Address, b.Bytes(), nil
}
