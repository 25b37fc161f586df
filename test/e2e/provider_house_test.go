package e2e

import (
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"testing"

	"github.com/neosc/gate/test/idp/hostile"
	"github.com/neosc/gate/test/kit"
)

// visitor is a browser before an edge. What goes wrong for it is returned, and
// not fatal, so that many may come at once.
type visitor struct {
	*http.Client
	e *kit.Edge
}

func newVisitor(t testing.TB, e *kit.Edge, client *http.Client) *visitor {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	c := *client
	c.Jar = jar
	return &visitor{&c, e}
}

// read reads the whole of an answer.
func read(resp *http.Response, err error) (*kit.Reply, error) {
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, 4<<20))
	return &kit.Reply{Response: resp, Text: string(b)}, err
}

// get navigates, once.
func (v *visitor) get(target string) (*kit.Reply, error) {
	req, err := http.NewRequest(http.MethodGet, target, nil)
	if err != nil {
		return nil, err
	}
	for name, value := range map[string]string{"Accept": "text/html", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"} {
		req.Header.Set(name, value)
	}
	return read(v.Do(req))
}

// leave begins a sign-in, agrees at the provider, and returns where the way
// back leads; "" with the reply of a gate that sends nobody there now.
func (v *visitor) leave(i *hostile.Issuer, claims map[string]any) (callback string, reply *kit.Reply, err error) {
	reply, err = v.get(v.e.Origin("gate") + "/oauth2/sign_in?" + url.Values{"provider": {i.ID}, "rd": {v.e.Origin("portal") + "/"}}.Encode())
	if err != nil || reply.StatusCode != http.StatusFound || !strings.HasPrefix(reply.Header.Get("Location"), i.URL) {
		return "", reply, err
	}
	callback, err = i.Authorize(reply.Header.Get("Location"), claims)
	return callback, reply, err
}

// session is the value of the session cookie, "" without one.
func (v *visitor) session() string {
	u, err := url.Parse(v.e.Origin("portal"))
	if err != nil {
		return ""
	}
	for _, c := range v.Jar.Cookies(u) {
		if c.Name == "_pomerium" {
			return c.Value
		}
	}
	return ""
}

// signsIn goes all the way to the portal and returns the last reply.
func (v *visitor) signsIn(i *hostile.Issuer, claims map[string]any) (*kit.Reply, error) {
	callback, reply, err := v.leave(i, claims)
	if err == nil && reply.Header.Get("Location") == v.e.Origin("portal")+"/" { // has a session already
		return v.get(v.e.Origin("portal") + "/")
	}
	if err != nil || callback == "" {
		return reply, err
	}
	if reply, err = v.get(callback); err != nil || reply.StatusCode != http.StatusSeeOther {
		return reply, err
	}
	return v.get(reply.Header.Get("Location"))
}

// clearPage reports whether a reply tells a person what happened, with a number
// to ask about, and leads nowhere by itself.
func clearPage(r *kit.Reply) bool {
	return r.StatusCode == http.StatusServiceUnavailable && strings.Contains(r.Text, `class="id"`) && r.Header.Get("Location") == ""
}
