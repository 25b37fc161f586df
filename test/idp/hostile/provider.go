// Package hostile is an OpenID provider on this machine that tests can have
// misbehave in any way. By itself it behaves: authorization code flow with PKCE,
// rotating refresh tokens, userinfo, access tokens that are JWTs, logout tokens,
// and keys that can be rotated. It asks nobody anything, so that a test, or a
// measurement, is its browser with one call.
package hostile

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"time"
)

// Server is any number of issuers on one address. Safe for concurrent use.
type Server struct {
	web *httptest.Server

	mu      sync.Mutex
	issuers map[string]*Issuer
}

// Start runs a server; Close ends it.
func Start() *Server {
	s := &Server{issuers: map[string]*Issuer{}}
	s.web = httptest.NewServer(s)
	return s
}

// Close ends the server and whoever still waits for an answer.
func (s *Server) Close() {
	s.web.CloseClientConnections()
	s.web.Close()
}

// Behaviour is what an issuer does other than it should. The zero value is
// that of a good provider.
type Behaviour struct {
	// Metadata changes the issuer's configuration.
	Metadata func(m map[string]any)
	// Keys is what is published, in place of the good keys.
	Keys func(good []json.RawMessage) any
	// Claims changes what an ID token says.
	Claims func(c map[string]any)
	// Sign makes the ID token, in place of the issuer's own key.
	Sign func(c map[string]any) string
	// Answer is in place of an endpoint: "openid-configuration", "keys", "token",
	// "userinfo", "revoke".
	Answer map[string]http.HandlerFunc
	// AccessSeconds is the life of access tokens; 0 means an hour.
	AccessSeconds int
}

// Issuer is one provider. Its client is "gate", without a secret.
type Issuer struct {
	ID, URL string

	mu    sync.Mutex
	does  Behaviour
	keys  []*Key // as published; the last one signs
	codes map[string]*grant
	fresh map[string]*grant // by refresh token
	by    map[string]*grant // by access token
	calls map[string]int
	given int
}

// grant is what somebody has agreed to.
type grant struct {
	nonce, challenge, redirect string
	claims                     map[string]any
}

// Issuer returns the issuer with an id, which becomes part of its address. It
// is made on first use.
func (s *Server) Issuer(id string) *Issuer {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := s.issuers[id]
	if i == nil {
		i = &Issuer{
			ID: id, URL: s.web.URL + "/" + id, keys: []*Key{NewKey("k1")}, calls: map[string]int{},
			codes: map[string]*grant{}, fresh: map[string]*grant{}, by: map[string]*grant{},
		}
		s.issuers[id] = i
	}
	return i
}

// Behave changes what the issuer does from now on.
func (i *Issuer) Behave(b Behaviour) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.does = b
}

// Calls is how often an endpoint was asked. Addresses that are none of the
// issuer's are counted too, by their last part.
func (i *Issuer) Calls(endpoint string) int {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.calls[endpoint]
}

// Rotate publishes a new key, with which the issuer signs from now on, beside
// the newest keep of those before.
func (i *Issuer) Rotate(keep int) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.given++
	old := i.keys[max(0, len(i.keys)-keep):]
	i.keys = append(old[:len(old):len(old)], NewKey(fmt.Sprintf("rotated-%d", i.given)))
}

// Person are the claims of somebody with a verified address and the role neosc,
// with changes; nil removes a claim.
func Person(change map[string]any) map[string]any {
	c := map[string]any{"sub": "s1", "sid": "sid1", "email": "nora@kappa4.com", "email_verified": true, "name": "Nora", "roles": []string{"neosc"}}
	return with(c, change)
}

func with(c, change map[string]any) map[string]any {
	c = maps.Clone(c)
	for k, v := range change {
		if v == nil {
			delete(c, k)
		} else {
			c[k] = v
		}
	}
	return c
}

// Authorize is the browser's part: it goes where the gate has sent it, signs in
// as whoever has the claims, and returns the address of the callback.
func (i *Issuer) Authorize(location string, claims map[string]any) (callback string, err error) {
	u, err := url.Parse(location)
	if err != nil || !strings.HasPrefix(location, i.URL+"/auth?") {
		return "", fmt.Errorf("%q is not the sign-in page of %s", location, i.URL)
	}
	q := u.Query()
	if q.Get("response_type") != "code" || q.Get("client_id") != "gate" || q.Get("code_challenge_method") != "S256" || q.Get("state") == "" || q.Get("nonce") == "" {
		return "", fmt.Errorf("a good provider would refuse %q", u.RawQuery)
	}
	code := random()
	i.mu.Lock()
	i.codes[code] = &grant{q.Get("nonce"), q.Get("code_challenge"), q.Get("redirect_uri"), claims}
	i.mu.Unlock()
	return q.Get("redirect_uri") + "?" + url.Values{"code": {code}, "state": {q.Get("state")}, "iss": {i.URL}}.Encode(), nil
}

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	id, _, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	s.mu.Lock()
	i := s.issuers[id]
	s.mu.Unlock()
	if i == nil {
		http.NotFound(w, r)
		return
	}
	endpoint := r.URL.Path[strings.LastIndexByte(r.URL.Path, '/')+1:]
	i.mu.Lock()
	i.calls[endpoint]++
	answer := i.does.Answer[endpoint]
	i.mu.Unlock()
	if answer != nil {
		answer(w, r)
		return
	}
	status, v := i.answer(endpoint, r)
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // whoever has left needs none
}

func (i *Issuer) answer(endpoint string, r *http.Request) (int, any) {
	i.mu.Lock()
	defer i.mu.Unlock()
	switch endpoint {
	case "openid-configuration":
		return http.StatusOK, i.metadata()
	case "keys":
		return http.StatusOK, i.published()
	case "token":
		v, err := i.redeem(r)
		if err != nil {
			return http.StatusBadRequest, map[string]any{"error": "invalid_grant", "error_description": err.Error()}
		}
		return http.StatusOK, v
	case "userinfo":
		token := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
		if g := i.by[token]; g != nil {
			return http.StatusOK, g.claims
		}
		return http.StatusUnauthorized, map[string]any{}
	case "revoke":
		return http.StatusOK, map[string]any{}
	}
	return http.StatusNotFound, map[string]any{}
}

func (i *Issuer) metadata() map[string]any {
	m := map[string]any{
		"issuer": i.URL, "authorization_endpoint": i.URL + "/auth", "token_endpoint": i.URL + "/token", "jwks_uri": i.URL + "/keys",
		"userinfo_endpoint": i.URL + "/userinfo", "revocation_endpoint": i.URL + "/revoke",
		"authorization_response_iss_parameter_supported": true,
		"code_challenge_methods_supported":               []string{"S256"}, "id_token_signing_alg_values_supported": []string{"ES256"},
	}
	if i.does.Metadata != nil {
		i.does.Metadata(m)
	}
	return m
}

func (i *Issuer) published() any {
	var good []json.RawMessage
	for _, k := range i.keys {
		good = append(good, k.Public())
	}
	if i.does.Keys != nil {
		return i.does.Keys(good)
	}
	return map[string]any{"keys": good}
}

// redeem is the token endpoint: a code or a refresh token, once each.
func (i *Issuer) redeem(r *http.Request) (map[string]any, error) {
	if err := r.ParseForm(); err != nil {
		return nil, err
	}
	f := r.PostForm
	var g *grant
	if f.Get("grant_type") == "refresh_token" {
		g = i.fresh[f.Get("refresh_token")]
		delete(i.fresh, f.Get("refresh_token"))
	} else {
		g = i.codes[f.Get("code")]
		delete(i.codes, f.Get("code"))
		sum := sha256.Sum256([]byte(f.Get("code_verifier")))
		if g != nil && (g.challenge != base64.RawURLEncoding.EncodeToString(sum[:]) || g.redirect != f.Get("redirect_uri")) {
			return nil, errors.New("the verifier or the redirect URI is another")
		}
	}
	if g == nil {
		return nil, errors.New("unknown, or used before")
	}
	now := time.Now()
	c := with(g.claims, map[string]any{"iss": i.URL, "aud": "gate", "iat": now.Unix(), "exp": now.Add(time.Hour).Unix(), "nonce": g.nonce})
	if i.does.Claims != nil {
		i.does.Claims(c)
	}
	sign := i.does.Sign
	if sign == nil {
		sign = func(c map[string]any) string { return i.signer().Sign(c, nil) }
	}
	seconds := i.does.AccessSeconds
	if seconds == 0 {
		seconds = 3600
	}
	access, refresh := "access-"+random(), "refresh-"+random()
	i.by[access], i.fresh[refresh] = g, g
	return map[string]any{"access_token": access, "refresh_token": refresh, "token_type": "Bearer", "expires_in": seconds, "id_token": sign(c)}, nil
}
