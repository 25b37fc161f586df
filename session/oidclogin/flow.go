package oidclogin

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/neosc/gate/session"
)

// stateLife is how long somebody may take at the provider.
const stateLife = 10 * time.Minute

// maxCode bounds an authorization code, in bytes.
const maxCode = 4096

const statePurpose = "login state"

// loginState is what is remembered between start and finish. It lies in the
// store sealed under a key derived from the state parameter, and where stateKey
// says, so neither store nor provider alone can finish a sign-in.
type loginState struct {
	Provider string    `json:"p"`
	Nonce    string    `json:"n"`
	Verifier string    `json:"v"`
	ReturnTo string    `json:"r"`
	Started  time.Time `json:"t"`
}

func (l *Logins) find(id string) (*provider, error) {
	if p := l.byID[id]; p != nil {
		return p, nil
	}
	return nil, &session.LoginError{Reason: session.LoginUnknown, Provider: id, Err: errors.New("no provider has this id")}
}

// Start implements session.Logins.
func (l *Logins) Start(ctx context.Context, r session.StartLogin) (string, error) {
	p, err := l.find(r.Provider)
	if err != nil {
		return "", err
	}
	m, err := p.discovery.get(ctx)
	if err != nil {
		return "", &session.LoginError{Reason: session.LoginAway, Provider: p.ID, ReturnTo: r.ReturnTo, Err: err}
	}
	now := l.o.Clock()
	state := random()
	s := loginState{Provider: p.ID, Nonce: random(), Verifier: random(), ReturnTo: r.ReturnTo, Started: now}
	k := stateKey(state, p.ID, r.Browser)
	data, err := seal([]byte(state), statePurpose, k, s)
	if err != nil {
		return "", fmt.Errorf("login state: %w", err)
	}
	if err := l.o.Notes.PutNote(ctx, k, session.Note{Data: data, Expires: now.Add(stateLife)}, now); err != nil {
		return "", fmt.Errorf("login state: %w", err)
	}
	return p.authorizeURL(m, s, state, p.redirectURI)
}

// stateKey names the state of a sign-in by all that a callback has to bring: of
// another browser, or at another provider's address, it finds nothing to take,
// and what is there stays for whom it is.
func stateKey(state, provider, browser string) session.Key {
	return noteKey(statePurpose, state, provider, browser)
}

// authorizeURL is where the browser asks for a code.
func (p *provider) authorizeURL(m *metadata, s loginState, state, redirectURI string) (string, error) {
	u, err := url.Parse(m.AuthorizationEndpoint)
	if err != nil {
		return "", &session.LoginError{Reason: session.LoginAway, Provider: p.ID, ReturnTo: s.ReturnTo, Err: err}
	}
	challenge := sha256.Sum256([]byte(s.Verifier))
	q := u.Query()
	for k, v := range map[string]string{
		"response_type": "code", "client_id": p.ClientID, "redirect_uri": redirectURI, "scope": strings.Join(p.Scopes, " "),
		"state": state, "nonce": s.Nonce,
		"code_challenge": base64.RawURLEncoding.EncodeToString(challenge[:]), "code_challenge_method": "S256",
	} {
		q.Set(k, v)
	}
	if p.MaxAge > 0 {
		q.Set("max_age", strconv.Itoa(int(p.MaxAge/time.Second)))
	}
	u.RawQuery = q.Encode()
	return u.String(), nil
}

// Finish implements session.Logins.
func (l *Logins) Finish(ctx context.Context, r session.FinishLogin) (*session.Login, error) {
	p, err := l.find(r.Provider)
	if err != nil {
		return nil, err
	}
	s, err := l.takeState(ctx, p, r)
	if err != nil {
		return nil, err
	}
	fail := func(reason session.LoginReason, err error) (*session.Login, error) {
		return nil, &session.LoginError{Reason: reason, Provider: p.ID, ReturnTo: s.ReturnTo, Err: err}
	}
	if e := r.Query["error"]; len(e) > 0 {
		return fail(refusalOf(e[0]))
	}
	code := r.Query["code"]
	if len(code) != 1 || code[0] == "" || len(code[0]) > maxCode {
		return fail(session.LoginReply, errors.New("the callback has no code"))
	}
	m, err := p.discovery.get(ctx)
	if err != nil {
		return fail(session.LoginAway, err)
	}
	t, err := p.redeem(ctx, m, code[0], s.Verifier, p.redirectURI)
	if err != nil {
		return nil, p.failed(s, err)
	}
	who, err := p.identify(ctx, m, t, s.Nonce)
	if err != nil {
		return nil, p.failed(s, err)
	}
	return l.begin(ctx, p, s, t, who, session.Browser)
}

// failed is the error of a sign-in whose code or tokens came to nothing. A
// provider refuses a code (invalid_grant) or an access token of seconds ago when
// the sign-in of another tab has replaced its session: such a browser may begin
// anew. Whoever planted a code gains nothing by it, as what begins is a request
// of its own, with a state, nonce and verifier of its own.
func (p *provider) failed(s *loginState, err error) error {
	e := &session.LoginError{Reason: reasonOf(err), Provider: p.ID, ReturnTo: s.ReturnTo, Err: err}
	refused, ok := errors.AsType[*tokenError](err)
	e.Anew = e.Reason == session.LoginSuperseded || ok && refused.spent
	return e
}

// takeState returns the state that the callback belongs to, and sees to it
// that it is used once.
func (l *Logins) takeState(ctx context.Context, p *provider, r session.FinishLogin) (*loginState, error) {
	bad := func(why string) error {
		return &session.LoginError{Reason: session.LoginState, Provider: p.ID, Err: errors.New(why)}
	}
	param := r.Query["state"]
	if len(param) != 1 || len(param[0]) != 43 {
		return nil, bad("the callback has no state of ours")
	}
	if err := p.checkIssuer(ctx, r.Query["iss"]); err != nil {
		return nil, &session.LoginError{Reason: session.LoginState, Provider: p.ID, Err: err}
	}
	now := l.o.Clock()
	for _, browser := range r.Browsers {
		k := stateKey(param[0], p.ID, browser)
		n, err := l.o.Notes.TakeNote(ctx, k, now)
		if errors.Is(err, session.ErrNotFound) {
			continue
		} else if err != nil {
			return nil, fmt.Errorf("login state: %w", err)
		}
		s := new(loginState)
		if err := unseal([]byte(param[0]), statePurpose, k, n.Data, s); err != nil {
			return nil, bad(err.Error())
		}
		return s, nil
	}
	return nil, bad("the state is unknown, used up, too old, another browser's or for another provider")
}

// checkIssuer holds the callback's iss to the provider's issuer (RFC 9207):
// one that is sent must match, and one that is promised must be sent.
func (p *provider) checkIssuer(ctx context.Context, iss []string) error {
	switch {
	case len(iss) > 1:
		return errors.New("the callback has iss twice")
	case len(iss) == 1 && iss[0] != p.Issuer:
		return errors.New("the callback has another provider's iss")
	case len(iss) == 1:
		return nil
	}
	m, err := p.discovery.get(ctx)
	if err == nil && m.SendsIssuer {
		return errors.New("the callback lacks iss, which the provider promises to send")
	}
	return nil // without metadata no code is redeemed
}

var errorCode = regexp.MustCompile(`^[a-z_]{1,64}$`)

// refusalOf says what a provider's error means. Its description is text that
// anybody may have written into an address, and goes nowhere.
func refusalOf(code string) (session.LoginReason, error) {
	if !errorCode.MatchString(code) {
		code = "an odd error"
	}
	reason := session.LoginReply
	switch code {
	case "access_denied", "login_required", "consent_required", "interaction_required", "account_selection_required":
		reason = session.LoginDenied
	case "temporarily_unavailable", "server_error":
		reason = session.LoginAway
	}
	return reason, fmt.Errorf("the provider answered %s", code)
}

// flowError gives an error the reason that people are told.
type flowError struct {
	reason session.LoginReason
	err    error
}

func (e *flowError) Error() string { return e.err.Error() }
func (e *flowError) Unwrap() error { return e.err }

func because(reason session.LoginReason, format string, args ...any) error {
	return &flowError{reason, fmt.Errorf(format, args...)}
}

// reasonOf returns the reason of an error: the provider's reply is at fault
// unless it says otherwise.
func reasonOf(err error) session.LoginReason {
	if e, ok := errors.AsType[*flowError](err); ok {
		return e.reason
	}
	if _, ok := errors.AsType[*awayError](err); ok {
		return session.LoginAway
	}
	return session.LoginReply
}
