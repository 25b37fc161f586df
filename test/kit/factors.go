package kit

import (
	"crypto/hmac"
	"crypto/sha1"
	"encoding/base32"
	"encoding/binary"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"
)

var (
	appKey       = regexp.MustCompile(`id="key">(.*?)</code>`)
	tags         = regexp.MustCompile(`<[^>]*>|\s`)
	recoveryCode = regexp.MustCompile(`<li>([2-9A-HJ-NP-Z]{5}-[2-9A-HJ-NP-Z]{5})</li>`)
)

// TOTP is RFC 6238 by itself: the code of a key at an instant, moved by steps.
func TOTP(t testing.TB, key string, at time.Time, steps int64) string {
	t.Helper()
	secret, err := base32.StdEncoding.WithPadding(base32.NoPadding).DecodeString(key)
	if err != nil {
		t.Fatal(err)
	}
	var counter [8]byte
	binary.BigEndian.PutUint64(counter[:], uint64(at.Unix()/30+steps))
	h := hmac.New(sha1.New, secret)
	h.Write(counter[:])
	sum := h.Sum(nil)
	from := sum[19] & 0xf
	return fmt.Sprintf("%06d", (binary.BigEndian.Uint32(sum[from:])&0x7fffffff)%1_000_000)
}

// Send fetches a page of the gate and sends a form of it to action, as a person
// does; fields are name, value, …
func (p *Person) Send(t testing.TB, page, action string, fields ...string) *Reply {
	t.Helper()
	gate := p.demo.Origin("gate")
	at := p.Get(t, gate+page)
	m := csrfField.FindStringSubmatch(at.Text)
	if m == nil {
		t.Fatalf("%s has no form: %s %s\n%s", page, at.Status, at.Header.Get("Location"), at.Text)
	}
	form := url.Values{"csrf": {m[1]}}
	for i := 0; i < len(fields); i += 2 {
		form.Set(fields[i], fields[i+1])
	}
	return p.Do(t, http.MethodPost, gate+action, strings.NewReader(form.Encode()),
		"Content-Type", "application/x-www-form-urlencoded", "Origin", gate, "Accept", "text/html", "Sec-Fetch-Mode", "navigate")
}

// EnrolApp sets up an authenticator app, with the code of now moved by steps,
// and returns its key and the recovery codes.
func (p *Person) EnrolApp(t testing.TB, steps int64) (key string, codes []string) {
	t.Helper()
	const at = "/account/security/app"
	page := p.Get(t, p.demo.Origin("gate")+at)
	m := appKey.FindStringSubmatch(page.Text)
	if m == nil || !strings.Contains(page.Text, `<svg class="qr"`) {
		t.Fatalf("the page shows no key: %s\n%s", page.Status, page.Text)
	}
	key = tags.ReplaceAllString(m[1], "")
	// A code may grow too old on its way: then the next one is sent.
	var reply *Reply
	for tries := 0; len(codes) == 0 && tries < 3; tries++ {
		p.Enrolled = TOTP(t, key, time.Now(), steps)
		reply = p.Send(t, at, at, "code", p.Enrolled)
		for _, c := range recoveryCode.FindAllStringSubmatch(reply.Text, -1) {
			codes = append(codes, c[1])
		}
	}
	if len(codes) != 10 {
		t.Fatalf("%d recovery codes: %s\n%s", len(codes), reply.Status, reply.Text)
	}
	return key, codes
}
