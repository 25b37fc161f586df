package oidclogin

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"github.com/neosc/gate/session"
)

// tokens are what a token endpoint gave.
type tokens struct {
	Access  string `json:"access_token"`
	Type    string `json:"token_type"`
	Refresh string `json:"refresh_token,omitempty"`
	ID      string `json:"id_token,omitempty"`
	// Seconds is the life of the access token; 0 means it was not said.
	Seconds json.Number `json:"expires_in,omitempty"`
}

// redeem exchanges a code once. It is never tried again: a code whose answer
// was lost is used up, and a second try would have the provider revoke what
// the first one gave.
func (p *provider) redeem(ctx context.Context, m *metadata, code, verifier, redirectURI string) (*tokens, error) {
	return p.token(ctx, m, url.Values{
		"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {redirectURI}, "code_verifier": {verifier},
	})
}

// refresh exchanges a refresh token, once. sent is false only if the token
// certainly did not reach the provider.
func (p *provider) refresh(ctx context.Context, m *metadata, token string) (t *tokens, sent bool, err error) {
	var asked, wrote atomic.Bool
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GetConn:      func(string) { asked.Store(true) },
		WroteHeaders: func() { wrote.Store(true) }, // the body, with the token, comes after
	})
	t, err = p.token(ctx, m, url.Values{"grant_type": {"refresh_token"}, "refresh_token": {token}})
	return t, !asked.Load() || wrote.Load(), err
}

// Bounds on the life of an access token, and what it is taken to be where the
// provider does not say.
const (
	assumedLife = time.Hour
	longestLife = 366 * 24 * time.Hour
)

// life is how long the access token holds.
func (t *tokens) life() time.Duration {
	n, err := t.Seconds.Int64()
	if err != nil || n <= 0 {
		return assumedLife
	}
	return time.Duration(min(n, int64(longestLife/time.Second))) * time.Second
}

func (p *provider) token(ctx context.Context, m *metadata, form url.Values) (*tokens, error) {
	status, body, err := p.post(ctx, "token", m.TokenEndpoint, form)
	if err != nil {
		return nil, &awayError{err}
	}
	if status != http.StatusOK {
		return nil, tokenRefusal(status, body)
	}
	t := new(tokens)
	if err := json.Unmarshal(body, t); err != nil {
		return nil, errors.New("token endpoint: the answer is not a token response")
	}
	if t.Access == "" || !strings.EqualFold(t.Type, "bearer") {
		return nil, errors.New("token endpoint: the answer has no bearer token")
	}
	return t, nil
}

// tokenError is a refusal with its OAuth error code.
type tokenError struct {
	status int
	code   string
	// spent: the code or refresh token opens nothing any more.
	spent bool
}

func (e *tokenError) Error() string {
	return fmt.Sprintf("token endpoint: answered %d, %s", e.status, e.code)
}

func tokenRefusal(status int, body []byte) error {
	var e struct {
		Code        string `json:"error"`
		Description string `json:"error_description"`
	}
	if json.Unmarshal(body, &e) != nil || !errorCode.MatchString(e.Code) {
		e.Code = "without an error code"
	}
	// Zitadel calls a refresh token that it does not know an invalid request.
	spent := e.Code == "invalid_grant" || e.Code == "invalid_request" && strings.Contains(e.Description, "RefreshTokenInvalid")
	err := &tokenError{status, e.Code, spent && status == http.StatusBadRequest}
	if status >= 500 || status == http.StatusTooManyRequests {
		return &awayError{err}
	}
	return err
}

// post sends a form with the gate's credentials.
func (p *provider) post(ctx context.Context, endpoint, address string, form url.Values) (int, []byte, error) {
	switch p.ClientAuth {
	case AuthBasic:
	case AuthPost:
		form.Set("client_id", p.ClientID)
		form.Set("client_secret", p.ClientSecret)
	case AuthPrivateKey:
		assertion, err := p.assertion()
		if err != nil {
			return 0, nil, err
		}
		form.Set("client_id", p.ClientID)
		form.Set("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer")
		form.Set("client_assertion", assertion)
	default:
		form.Set("client_id", p.ClientID)
	}
	req, err := http.NewRequest(http.MethodPost, address, strings.NewReader(form.Encode()))
	if err != nil {
		return 0, nil, err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if p.ClientAuth == AuthBasic {
		// Both parts are form-encoded first (RFC 6749, section 2.3.1).
		req.SetBasicAuth(url.QueryEscape(p.ClientID), url.QueryEscape(p.ClientSecret))
	}
	return p.ask(ctx, endpoint, req)
}

// assertion proves by signature who the gate is (RFC 7523).
func (p *provider) assertion() (string, error) {
	alg, err := signingAlg(p.PrivateKey)
	if err != nil {
		return "", err
	}
	o := (&jose.SignerOptions{}).WithType("JWT")
	if p.KeyID != "" {
		o = o.WithHeader("kid", p.KeyID)
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: alg, Key: p.PrivateKey}, o)
	if err != nil {
		return "", fmt.Errorf("client assertion: %w", err)
	}
	now := p.clock()
	s, err := jwt.Signed(signer).Claims(jwt.Claims{
		Issuer: p.ClientID, Subject: p.ClientID, Audience: jwt.Audience{p.Issuer}, ID: random(),
		IssuedAt: jwt.NewNumericDate(now), Expiry: jwt.NewNumericDate(now.Add(time.Minute)),
	}).Serialize()
	if err != nil {
		return "", fmt.Errorf("client assertion: %w", err)
	}
	return s, nil
}

func signingAlg(key crypto.Signer) (jose.SignatureAlgorithm, error) {
	switch k := key.(type) {
	case *rsa.PrivateKey:
		if k.N.BitLen() >= 2048 {
			return jose.RS256, nil
		}
	case *ecdsa.PrivateKey:
		if k.Curve == elliptic.P256() {
			return jose.ES256, nil
		}
	}
	return "", errors.New("private_key_jwt needs an RSA key of 2048 bits or more, or an ECDSA key on P-256")
}

// revoke takes a token back (RFC 7009).
func (p *provider) revoke(ctx context.Context, m *metadata, token, hint string) error {
	status, _, err := p.post(ctx, "revocation", m.RevocationEndpoint, url.Values{"token": {token}, "token_type_hint": {hint}})
	if err != nil {
		return err
	}
	if status != http.StatusOK {
		return fmt.Errorf("revocation endpoint: answered %d", status)
	}
	return nil
}

// userinfo asks for what the ID token lacks. An answer about somebody else is
// refused (OpenID Connect Core 1.0, section 5.3.2).
func (p *provider) userinfo(ctx context.Context, m *metadata, access, subject string) (map[string]any, error) {
	req, err := http.NewRequest(http.MethodGet, m.UserinfoEndpoint, nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", "Bearer "+access)
	status, body, err := p.ask(ctx, "userinfo", req)
	if err != nil {
		return nil, &awayError{err}
	}
	if status == http.StatusUnauthorized {
		// The token is seconds old: the provider took it back, as it does when
		// another tab's sign-in replaces this one's session there.
		return nil, because(session.LoginSuperseded, "userinfo endpoint: answered %d", status)
	}
	if status != http.StatusOK {
		return nil, because(session.LoginAway, "userinfo endpoint: answered %d", status)
	}
	claims, err := decodeClaims(body)
	if err != nil {
		return nil, fmt.Errorf("userinfo endpoint: %w", err)
	}
	if sub, ok := claims["sub"].(string); !ok || sub != subject {
		return nil, errors.New("userinfo endpoint: the answer is about somebody else")
	}
	return claims, nil
}
