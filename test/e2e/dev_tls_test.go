package e2e

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/neosc/gate/test/kit"
)

func TestTheDemoSpeaksTLSByAnAuthorityOfItsOwn(t *testing.T) {
	t.Parallel()
	d := kit.StartDemo(t, kit.DemoOptions{TLS: true})
	ca := filepath.Join(d.State, "tls", "ca.crt")
	if !strings.Contains(d.Output(), "trust    "+ca) {
		t.Errorf("nobody says what to trust:\n%s", d.Output())
	}
	pem, err := os.ReadFile(ca)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	tr := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}, ForceAttemptHTTP2: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "tcp", fmt.Sprintf("127.0.0.1:%d", d.Port))
	}}
	t.Cleanup(tr.CloseIdleConnections)
	c := &http.Client{Transport: kit.Patient(tr), Jar: jar}
	at := func(host string) string { return fmt.Sprintf("https://%s.%s:%d", host, kit.Domain, d.Port) }
	page := func(resp *http.Response, err error) (*http.Response, string) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp, string(b)
	}
	_, form := page(c.Get(at("gate") + "/oauth2/sign_in?rd=" + url.QueryEscape(at("portal")+"/")))
	fields := url.Values{"email": {"neosc@" + kit.Domain}, "password": {d.Passwords["neosc@"+kit.Domain]}}
	for _, m := range regexp.MustCompile(`name="([a-z_]+)" value="([^"]*)"`).FindAllStringSubmatch(form, -1) {
		fields.Set(m[1], m[2])
	}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, at("gate")+"/oauth2/sign_in", strings.NewReader(fields.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Origin", at("gate"))
	var set []string
	c.CheckRedirect = func(req *http.Request, _ []*http.Request) error {
		set = append(set, req.Response.Header.Values("Set-Cookie")...)
		return nil
	}
	resp, _ := page(c.Do(r))
	if resp.StatusCode != 200 || resp.Request.URL.Host != fmt.Sprintf("portal.%s:%d", kit.Domain, d.Port) || resp.ProtoMajor != 2 {
		t.Errorf("signing in ends at %s with %s %s", resp.Request.URL, resp.Proto, resp.Status)
	}
	if all := strings.Join(set, "\n"); !regexp.MustCompile(`_pomerium=v1[^\n]*; Secure`).MatchString(all) {
		t.Errorf("the session cookie is not for TLS alone: %q", regexp.MustCompile(`=[^;]*`).ReplaceAllString(all, "=…"))
	}
}
