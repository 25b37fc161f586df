package kit

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

// Person is somebody with a browser's cookie jar, who dials the demo's Envoy
// whatever the host is called.
type Person struct {
	*http.Client
	// Enrolled is the code by which EnrolApp set up an app: asked for a moment
	// later, that of the same step may be another.
	Enrolled string

	demo *Demo
}

// Reply is an answer with its body read.
type Reply struct {
	*http.Response
	Text string
}

// Stranger is somebody who is not signed in. Redirects are not followed.
func (d *Demo) Stranger(t testing.TB) *Person {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	tr := &http.Transport{DialContext: d.Dial, MaxIdleConnsPerHost: 16, TLSClientConfig: d.Trust(t)}
	t.Cleanup(tr.CloseIdleConnections)
	return &Person{demo: d, Client: &http.Client{
		Jar: jar, Transport: Patient(tr), Timeout: 2 * time.Minute,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// Trust is what a client needs to speak TLS with the demo; nil where it does not.
func (d *Demo) Trust(t testing.TB) *tls.Config {
	t.Helper()
	if !d.TLS {
		return nil
	}
	pem, err := os.ReadFile(filepath.Join(d.State, "tls", "ca.crt"))
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	return &tls.Config{RootCAs: roots}
}

// Dial connects to the demo's Envoy, whatever the host is called: Go does not
// resolve *.localhost by itself. Addresses are dialled as they are.
func (d *Demo) Dial(ctx context.Context, network, addr string) (net.Conn, error) {
	var dialer net.Dialer
	if host, _, err := net.SplitHostPort(addr); err == nil && net.ParseIP(host) != nil {
		return dialer.DialContext(ctx, network, addr)
	}
	return dialer.DialContext(ctx, network, net.JoinHostPort("127.0.0.1", strconv.Itoa(d.Port)))
}

// SignedIn is a person of the demo ("admin", "neosc", "neosc2", "user", "demo")
// after signing in through the gate's own form.
func (d *Demo) SignedIn(t testing.TB, name string) *Person {
	t.Helper()
	p := d.Stranger(t)
	reply := p.SignIn(t, name+"@"+Domain, d.Passwords[name+"@"+Domain], d.Origin("portal")+"/")
	if reply.StatusCode != http.StatusSeeOther {
		t.Fatalf("sign-in of %s answered %s\n%s", name, reply.Status, reply.Text)
	}
	return p
}

var csrfField = regexp.MustCompile(`name="csrf" value="([^"]*)"`)

// SignIn fetches the sign-in form and sends it, as a browser does.
func (p *Person) SignIn(t testing.TB, email, password, target string) *Reply {
	t.Helper()
	page := p.Get(t, p.demo.Origin("gate")+"/oauth2/sign_in?rd="+url.QueryEscape(target))
	m := csrfField.FindStringSubmatch(page.Text)
	if m == nil {
		t.Fatalf("the sign-in page has no form token: %s\n%s", page.Status, page.Text)
	}
	form := url.Values{"email": {email}, "password": {password}, "csrf": {m[1]}, "rd": {target}}
	return p.Do(t, http.MethodPost, p.demo.Origin("gate")+"/oauth2/sign_in", strings.NewReader(form.Encode()),
		"Content-Type", "application/x-www-form-urlencoded", "Origin", p.demo.Origin("gate"), "Sec-Fetch-Mode", "navigate", "Accept", "text/html")
}

// Get asks as a browser's navigation does.
func (p *Person) Get(t testing.TB, target string, headers ...string) *Reply {
	t.Helper()
	return p.Do(t, http.MethodGet, target, nil, append([]string{"Accept", "text/html", "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "document"}, headers...)...)
}

// Do sends a request with headers given as name, value, …
func (p *Person) Do(t testing.TB, method, target string, body io.Reader, headers ...string) *Reply {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, target, body)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		req.Header.Add(headers[i], headers[i+1])
	}
	resp, err := p.Client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, 4<<20))
	if err != nil {
		t.Fatal(err)
	}
	return &Reply{resp, string(b)}
}

// Session returns the session cookie's value, or "".
func (p *Person) Session() string {
	u, _ := url.Parse(p.demo.Origin("portal"))
	for _, c := range p.Jar.Cookies(u) {
		if c.Name == "_pomerium" {
			return c.Value
		}
	}
	return ""
}
