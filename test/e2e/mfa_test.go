package e2e

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

	"github.com/neosc/gate/test/kit"
)

// totp is RFC 6238 by itself: the code of a key at an instant, moved by steps.
func totp(t *testing.T, key string, at time.Time, steps int64) string {
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

var (
	formToken    = regexp.MustCompile(`name="csrf" value="([^"]*)"`)
	appKey       = regexp.MustCompile(`id="key">(.*?)</code>`)
	tags         = regexp.MustCompile(`<[^>]*>|\s`)
	recoveryCode = regexp.MustCompile(`<li>([2-9A-HJ-NP-Z]{5}-[2-9A-HJ-NP-Z]{5})</li>`)
)

// walker sends the forms of the gate's pages, as a person does.
type walker struct {
	*kit.Person
	t *testing.T
	d *kit.Demo
}

// send fetches a page of the gate and sends a form of it.
func (w *walker) send(page, action string, fields ...string) *kit.Reply {
	w.t.Helper()
	at := w.Get(w.t, w.d.Origin("gate")+page)
	m := formToken.FindStringSubmatch(at.Text)
	if m == nil {
		w.t.Fatalf("%s has no form: %s %s\n%s", page, at.Status, at.Header.Get("Location"), at.Text)
	}
	form := url.Values{"csrf": {m[1]}}
	for i := 0; i < len(fields); i += 2 {
		form.Set(fields[i], fields[i+1])
	}
	return w.Do(w.t, http.MethodPost, w.d.Origin("gate")+action, strings.NewReader(form.Encode()),
		"Content-Type", "application/x-www-form-urlencoded", "Origin", w.d.Origin("gate"), "Accept", "text/html", "Sec-Fetch-Mode", "navigate")
}

// enrolApp sets up an authenticator app and returns its key and the recovery codes.
func (w *walker) enrolApp(steps int64) (key string, codes []string) {
	w.t.Helper()
	page := w.Get(w.t, w.d.Origin("gate")+"/account/security/app")
	m := appKey.FindStringSubmatch(page.Text)
	if m == nil || !strings.Contains(page.Text, `<svg class="qr"`) {
		w.t.Fatalf("the page shows no key: %s\n%s", page.Status, page.Text)
	}
	key = tags.ReplaceAllString(m[1], "")
	reply := w.send("/account/security/app", "/account/security/app", "code", totp(w.t, key, time.Now(), steps))
	for _, c := range recoveryCode.FindAllStringSubmatch(reply.Text, -1) {
		codes = append(codes, c[1])
	}
	if len(codes) != 10 {
		w.t.Fatalf("%d recovery codes: %s\n%s", len(codes), reply.Status, reply.Text)
	}
	return key, codes
}

func TestSecondFactorsThroughTheEdge(t *testing.T) {
	t.Parallel()
	d := kit.StartDemo(t, kit.DemoOptions{})
	w := &walker{d.SignedIn(t, "neosc"), t, d}
	before := w.Session()
	key, _ := w.enrolApp(-1)
	if w.Session() == before {
		t.Error("the session has the id that it had before it had a second factor")
	}
	if r := w.Get(t, d.Origin("portal")+"/"); r.StatusCode != http.StatusOK {
		t.Errorf("the portal answers %s", r.Status)
	}

	// The password alone signs nobody in.
	p := d.Stranger(t)
	w = &walker{p, t, d}
	reply := p.SignIn(t, "neosc@"+kit.Domain, d.Passwords["neosc@"+kit.Domain], d.Origin("portal")+"/x?y=1")
	if reply.StatusCode != http.StatusSeeOther || reply.Header.Get("Location") != d.Origin("gate")+"/oauth2/second_factor" || p.Session() != "" {
		t.Fatalf("the password alone: %s to %q, session %q", reply.Status, reply.Header.Get("Location"), p.Session())
	}
	if r := p.Get(t, d.Origin("portal")+"/"); r.StatusCode != http.StatusFound {
		t.Errorf("between the factors the portal answers %s", r.Status)
	}
	code := totp(t, key, time.Now(), 0)
	wrong := "000000"
	if code == wrong {
		wrong = "000001"
	}
	if r := w.send("/oauth2/second_factor", "/oauth2/second_factor", "with", "app", "code", wrong); r.StatusCode != http.StatusUnprocessableEntity || p.Session() != "" {
		t.Errorf("a wrong code: %s", r.Status)
	}
	reply = w.send("/oauth2/second_factor", "/oauth2/second_factor", "with", "app", "code", code)
	if reply.StatusCode != http.StatusSeeOther || reply.Header.Get("Location") != d.Origin("portal")+"/x?y=1" {
		t.Fatalf("the right code: %s to %q\n%s", reply.Status, reply.Header.Get("Location"), reply.Text)
	}
	if r := p.Get(t, d.Origin("portal")+"/"); r.StatusCode != http.StatusOK {
		t.Errorf("with both factors the portal answers %s", r.Status)
	}
}
