package web

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"strings"

	"github.com/neosc/gate/session"
)

// csrf makes and checks form tokens without state on the server: a cookie
// holds a random seed, the form an HMAC over it, the form's purpose and the
// session. Under TLS the cookie has the __Host- prefix, so no sibling host can
// plant a seed whose token it knows.
type csrf struct {
	keys   func() ([][]byte, error)
	cookie string
	secure bool
}

const (
	seedBytes = 18 // 144 bits, 24 characters of base64
	// minFormKey is the shortest key that counts; a shorter one makes no token
	// and checks none.
	minFormKey = 32
)

func newCSRF(keys func() ([][]byte, error), sessionCookie session.CookieSpec) csrf {
	name := strings.TrimLeft(sessionCookie.Name, "_") + "_csrf"
	if sessionCookie.Secure {
		name = "__Host-" + name
	}
	return csrf{keys: keys, cookie: name, secure: sessionCookie.Secure}
}

// issue returns a token for a form and sets the cookie that goes with it. A
// seed that the browser has is kept, so that other tabs' forms stay good, and
// one that this answer gives it is that of all forms of the page.
func (c csrf) issue(w http.ResponseWriter, r *http.Request, purpose, bind string) string {
	for _, old := range r.CookiesNamed(c.cookie) {
		if validSeed(old.Value) {
			return c.make(old.Value, purpose, bind)
		}
	}
	for _, line := range w.Header()["Set-Cookie"] {
		if rest, ok := strings.CutPrefix(line, c.cookie+"="); ok {
			if seed, _, _ := strings.Cut(rest, ";"); validSeed(seed) {
				return c.make(seed, purpose, bind)
			}
		}
	}
	var raw [seedBytes]byte
	_, _ = rand.Read(raw[:])
	seed := base64.RawURLEncoding.EncodeToString(raw[:])
	line := c.cookie + "=" + seed + "; Path=/; HttpOnly; SameSite=Lax"
	if c.secure {
		line += "; Secure"
	}
	w.Header().Add("Set-Cookie", line)
	return c.make(seed, purpose, bind)
}

// make returns a token under the newest key, or one that no check accepts while
// there is none.
func (c csrf) make(seed, purpose, bind string) string {
	keys, err := c.keys()
	if err != nil || len(keys) == 0 || len(keys[0]) < minFormKey {
		return ""
	}
	return formToken(keys[0], seed, purpose, bind)
}

// valid reports whether a sent token belongs to a seed that the browser sent. A few
// cookies of the name are looked at, in case junk stands before ours.
func (c csrf) valid(r *http.Request, sent, purpose, bind string) bool {
	keys, err := c.keys()
	if err != nil {
		return false
	}
	ok := false
	for i, cookie := range r.CookiesNamed(c.cookie) {
		if i == session.MaxCookieValues {
			break
		}
		if !validSeed(cookie.Value) {
			continue
		}
		for _, key := range keys {
			if len(key) >= minFormKey && hmac.Equal([]byte(sent), []byte(formToken(key, cookie.Value, purpose, bind))) {
				ok = true
			}
		}
	}
	return ok
}

func formToken(key []byte, seed, purpose, bind string) string {
	h := hmac.New(sha256.New, key)
	for _, part := range []string{"neosc form token", purpose, bind, seed} {
		h.Write([]byte(part))
		h.Write([]byte{0})
	}
	return base64.RawURLEncoding.EncodeToString(h.Sum(nil))
}

func validSeed(s string) bool {
	raw, err := base64.RawURLEncoding.Strict().DecodeString(s)
	return err == nil && len(raw) == seedBytes
}
