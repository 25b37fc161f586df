package api

import (
	"errors"
	"net/http"

	"github.com/neosc/gate/session"
	"github.com/neosc/gate/session/web"
)

// mfaRequired is the type of the problem that asks for a second factor.
const mfaRequired = "urn:neosc:problem:mfa_required"

// appCode is how long the codes of authenticator apps are; recovery codes are
// longer.
const appCode = 6

// askForFactor keeps that the password was right, and asks for the rest. Nobody
// is signed in by it.
func (a *API) askForFactor(c *call, u session.FactorUser) error {
	f := a.o.Factors
	if f == nil || a.o.Identifier == nil {
		return problem(http.StatusForbidden, "mfa_unavailable", "This account has a second factor, which cannot be checked here. Sign in with a browser.")
	}
	has, err := f.Factors(c.Context(), u.ID)
	if err != nil {
		return err
	}
	p := problem(http.StatusUnauthorized, "mfa_required", "The password is right. Send mfa_token and a code to /api/auth/login/second-factor within five minutes.")
	p.Type = mfaRequired
	if has.App != nil {
		p.MFAMethods = append(p.MFAMethods, "totp")
	}
	if has.Recovery > 0 {
		p.MFAMethods = append(p.MFAMethods, "recovery_code")
	}
	if p.MFAMethods == nil {
		return problem(http.StatusForbidden, "mfa_unavailable", "This account signs in with a passkey, which needs a browser.")
	}
	if p.MFAToken, err = f.Begin(c.Context(), session.PendingLogin{User: u, Started: a.o.Clock()}); err != nil {
		return err
	}
	return p
}

type factorRequest struct {
	Token string `json:"mfa_token"`
	Code  string `json:"code"`
}

// secondFactor finishes a sign-in with a code of an app, or a recovery code.
func (a *API) secondFactor(c *call) (reply, error) {
	var q factorRequest
	if err := a.forPasswords(c, &q); err != nil {
		return reply{}, err
	}
	p, _, err := a.o.Factors.Pending(c.Context(), q.Token)
	if err == nil {
		err = a.o.Factors.Try(c.Context(), q.Token)
	}
	if errors.Is(err, session.ErrNotFound) {
		return reply{}, tokenOver()
	}
	if err != nil {
		return reply{}, err
	}
	method, check := session.AMROTP, a.o.Factors.CheckApp
	if len(q.Code) != appCode {
		method, check = session.AMRRecovery, a.o.Factors.CheckRecovery
	}
	if err := check(c.Context(), p.User, q.Code, web.ClientAddr(c.Request)); err != nil {
		if errors.Is(err, session.ErrFactor) {
			a.factorEvent(c, p.User, session.ActionFactorFailed, session.OutcomeDenied, method)
			return reply{}, problem(http.StatusUnauthorized, "mfa_code_wrong", "The code is wrong, or was used before.")
		}
		return reply{}, err
	}
	return a.finish(c, q.Token, method)
}

// finish begins the session of a sign-in whose second factor was right. The
// account is looked at again: since the password was, it may have been changed.
func (a *API) finish(c *call, token, method string) (reply, error) {
	p, err := a.o.Factors.Take(c.Context(), token)
	if errors.Is(err, session.ErrNotFound) {
		return reply{}, tokenOver()
	}
	if err != nil {
		return reply{}, err
	}
	id, changed, err := a.o.Identifier.Identify(c.Context(), p.User.ID)
	switch {
	case errors.Is(err, session.ErrCredentials), err == nil && changed.After(p.Started):
		return reply{}, tokenOver()
	case err != nil:
		return reply{}, err
	}
	id.AMR = []string{session.AMRPassword, method, session.AMRMFA}
	a.factorEvent(c, p.User, session.ActionFactorUsed, session.OutcomeSuccess, method)
	return a.begin(c, id)
}

func tokenOver() *Problem {
	return problem(http.StatusUnauthorized, "mfa_token_invalid", "The mfa_token is over, was used, or had its five attempts. Sign in again.")
}

func (a *API) factorEvent(c *call, u session.FactorUser, action session.Action, outcome session.Outcome, method string) {
	e := session.NewEvent(c.Context(), action, &session.Session{Identity: session.Identity{UserID: u.ID, Email: u.Email}})
	e.Outcome, e.Details = outcome, map[string]string{"method": method}
	a.keep(c, e)
}
