package oidclogin

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/neosc/gate/session"
)

const (
	noncePurpose = "exchanged nonce"
	// nonceLife is how long a nonce is remembered: longer than any code lives.
	nonceLife = time.Hour
)

var (
	// verifierPattern is RFC 7636, section 4.1.
	verifierPattern = regexp.MustCompile(`^[A-Za-z0-9._~-]{43,128}$`)
	// noncePattern: shorter ones can be guessed.
	noncePattern = regexp.MustCompile(`^[!-~]{16,255}$`)
)

// AppOrigin implements session.Exchanger.
func (l *Logins) AppOrigin(origin string) bool {
	return slices.ContainsFunc(l.providers, func(p *provider) bool {
		return slices.ContainsFunc(p.AppRedirectURIs, func(u string) bool { return originOf(u) == origin })
	})
}

// originOf returns the origin of a redirect URI that checkRedirectURI took.
func originOf(redirectURI string) string {
	u, err := url.Parse(redirectURI)
	if err != nil {
		return ""
	}
	return u.Scheme + "://" + u.Host
}

// Exchange implements session.Exchanger. What was begun elsewhere has no state
// here and no binding cookie, so what holds it together is the code's verifier,
// which the provider checks, and the nonce, which the gate checks: a code that
// somebody planted into the app's callback came of a request with another one.
// A nonce counts once.
func (l *Logins) Exchange(ctx context.Context, r session.ExchangeLogin) (*session.Login, error) {
	p, err := l.find(r.Provider)
	if err != nil {
		return nil, err
	}
	fail := func(reason session.LoginReason, err error) (*session.Login, error) {
		return nil, &session.LoginError{Reason: reason, Provider: p.ID, Err: err}
	}
	if !slices.Contains(p.AppRedirectURIs, r.RedirectURI) {
		return fail(session.LoginApp, errors.New("redirect_uri is none of the provider's token_exchange.redirect_uris, to the letter"))
	}
	if r.Origin != originOf(r.RedirectURI) {
		return fail(session.LoginApp, errors.New("the request's Origin is not that of its redirect_uri"))
	}
	if err := checkExchange(r); err != nil {
		return fail(session.LoginRequest, err)
	}
	var iss []string
	if r.Issuer != "" {
		iss = []string{r.Issuer}
	}
	if err := p.checkIssuer(ctx, iss); err != nil {
		return fail(session.LoginState, err)
	}
	m, err := p.discovery.get(ctx)
	if err != nil {
		return fail(session.LoginAway, err)
	}
	t, err := p.redeem(ctx, m, r.Code, r.Verifier, r.RedirectURI)
	if err != nil {
		return fail(reasonOf(err), err)
	}
	who, err := p.identify(ctx, m, t, r.Nonce)
	if err != nil {
		return fail(reasonOf(err), err)
	}
	now := l.o.Clock()
	switch err := l.o.Notes.PutNote(ctx, noteKey(noncePurpose, p.Issuer, r.Nonce), session.Note{Expires: now.Add(nonceLife)}, now); {
	case errors.Is(err, session.ErrExists):
		return fail(session.LoginReply, errors.New("the nonce was used before"))
	case err != nil:
		return nil, fmt.Errorf("exchanged nonce: %w", err)
	}
	return l.begin(ctx, p, &loginState{Provider: p.ID, Nonce: r.Nonce}, t, who, session.Bearer)
}

// checkExchange says what the app has to mend. Values are not repeated: a code
// or a verifier has no place in a log.
func checkExchange(r session.ExchangeLogin) error {
	switch {
	case r.Code == "" || len(r.Code) > maxCode:
		return fmt.Errorf("code must have 1 to %d bytes", maxCode)
	case !verifierPattern.MatchString(r.Verifier):
		return errors.New("code_verifier must be 43 to 128 of A-Z, a-z, 0-9, -, ., _ and ~ (RFC 7636)")
	case !noncePattern.MatchString(r.Nonce):
		return errors.New("nonce must be the one that was sent to the provider: 16 to 255 visible ASCII characters, random for each sign-in")
	}
	return nil
}

// checkRedirectURI refuses what no app can have, and what would have the gate
// finish sign-ins that are not an app's.
func checkRedirectURI(s, gateOrigin string) error {
	u, err := url.Parse(s)
	switch {
	case err != nil || u.Host == "" || u.User != nil || u.Opaque != "" || strings.ContainsRune(s, '#') || len(s) > 2048 || strings.ContainsFunc(s, func(c rune) bool { return c <= ' ' || c > '~' }):
		return fmt.Errorf("%q is not an address such as https://portal.example.com/auth/callback", clip(s))
	case u.Scheme != "https" && (u.Scheme != "http" || !onThisMachine(u.Hostname())):
		return fmt.Errorf("%q is not https", s)
	case u.Host != strings.ToLower(u.Host) || u.Port() == "443" && u.Scheme == "https" || u.Port() == "80" && u.Scheme == "http" || strings.HasSuffix(u.Host, ":"):
		return fmt.Errorf("%q: write the host in lower case and without the port that its scheme has anyway, as browsers do in Origin", s)
	case u.Scheme+"://"+u.Host == gateOrigin:
		return fmt.Errorf("%q is on the gate's own host, where no app is", s)
	}
	return nil
}
