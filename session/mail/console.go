package mail

import (
	"context"
	"fmt"
	"io"
	"strings"
	"sync"

	"github.com/neosc/gate/session"
)

// Console writes mails to a terminal, links and all: for a demo, whose only
// person sits before it. It implements session.Mailer.
type Console struct {
	mu sync.Mutex
	w  io.Writer
}

// NewConsole returns a Console that writes to w.
func NewConsole(w io.Writer) *Console { return &Console{w: w} }

// SendMail implements session.Mailer.
func (c *Console) SendMail(_ context.Context, m session.Mail) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, err := fmt.Fprintf(c.w, "\nMail to %s: %s\n  %s\n", visible(m.To), visible(m.Subject), strings.ReplaceAll(visible(strings.TrimRight(m.Text, "\n")), "\n", "\n  "))
	return err
}

// visible takes out what a terminal would act on: names in mails are chosen by
// whoever registers.
func visible(s string) string {
	return strings.Map(func(c rune) rune {
		if c != '\n' && (c < ' ' || c >= 0x7f && c <= 0x9f) {
			return '\uFFFD'
		}
		return c
	}, s)
}
