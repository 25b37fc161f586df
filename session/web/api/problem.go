package api

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"strings"

	"github.com/neosc/gate/session"
)

// quotaExceeded is the registered type of a spent budget.
const quotaExceeded = "https://iana.org/assignments/http-problem-types#quota-exceeded"

// Problem is how the API says no (RFC 9457).
type Problem struct {
	Type      string   `json:"type"`
	Title     string   `json:"title"`
	Status    int      `json:"status"`
	Detail    string   `json:"detail"`
	Reasons   []string `json:"reasons"`
	RequestID string   `json:"request_id,omitempty"`
	// MFAToken is what the second step of a sign-in needs, and MFAMethods are
	// the ways to take it.
	MFAToken   string   `json:"mfa_token,omitempty"`
	MFAMethods []string `json:"mfa_methods,omitempty"`

	retryAfter int // seconds; 0 for none
}

// Error implements error.
func (p *Problem) Error() string { return fmt.Sprintf("%d %s", p.Status, p.Detail) }

func problem(status int, reason, format string, args ...any) *Problem {
	return &Problem{Status: status, Reasons: []string{reason}, Detail: fmt.Sprintf(format, args...)}
}

func invalid(format string, args ...any) *Problem {
	return invalidFor("request_invalid", format, args...)
}

func invalidFor(reason, format string, args ...any) *Problem {
	return problem(http.StatusUnprocessableEntity, reason, format, args...)
}

// problemOf turns an error into what a program is told of it. What is ours is
// for the log alone.
func (a *API) problemOf(r *http.Request, err error) *Problem {
	if p, ok := errors.AsType[*Problem](err); ok {
		return p
	}
	if g, ok := errors.AsType[*session.TooManyGuessesError](err); ok {
		seconds := max(1, int(math.Ceil(g.RetryAfter.Seconds())))
		p := problem(http.StatusTooManyRequests, "too_many_guesses", "Too many attempts came for this account or from this address. The next one is looked at in %d s.", seconds)
		p.Type, p.retryAfter = quotaExceeded, seconds
		return p
	}
	if p := known(err); p != nil {
		return p
	}
	a.o.Logger.Error("an API request failed", "path", r.URL.Path, "error", err, "request_id", requestID(r))
	p := problem(http.StatusServiceUnavailable, "unavailable", "Something that the gate needs does not answer. Try again in a moment.")
	p.retryAfter = 1
	return p
}

// known is what a program is told of errors that are its own affair, nil for
// others.
func known(err error) *Problem {
	switch {
	case errors.Is(err, session.ErrCredentials):
		return problem(http.StatusUnauthorized, "credentials", "Email or password is wrong.")
	case errors.Is(err, session.ErrBusy):
		p := problem(http.StatusTooManyRequests, "busy", "Too many passwords are being checked at this moment. Try again in a second.")
		p.retryAfter = 1
		return p
	case errors.Is(err, session.ErrRegistrationClosed):
		return problem(http.StatusForbidden, "registration_closed", "Only who is invited may register here.")
	case errors.Is(err, session.ErrNoMail):
		return problem(http.StatusForbidden, "mail_unavailable", "This gate sends no mail. Ask an administrator.")
	case errors.Is(err, session.ErrLink):
		return invalidFor("link_invalid", "The token was used, is over, or never was.")
	case errors.Is(err, session.ErrNoUser):
		return noSuch("user")
	case errors.Is(err, session.ErrNoOrganization):
		return noSuch("organization")
	case errors.Is(err, session.ErrUserExists):
		return problem(http.StatusConflict, "conflict", "There is a user with this email already.")
	case errors.Is(err, session.ErrOrganizationExists):
		return problem(http.StatusConflict, "conflict", "An organization has this name already.")
	case errors.Is(err, session.ErrLastAdmin):
		return problem(http.StatusConflict, "last_admin", "This is the last account with the role admin that can sign in.")
	case errors.Is(err, session.ErrBadUser):
		text := err.Error()
		if _, why, ok := strings.Cut(text, session.ErrBadUser.Error()+": "); ok {
			text = why
		}
		return invalid("%s", sentence(text))
	}
	return nil
}

func (a *API) refuse(w http.ResponseWriter, r *http.Request, err error) {
	p := *a.problemOf(r, err)
	if p.Type == "" {
		p.Type = "about:blank"
	}
	p.Title, p.RequestID = http.StatusText(p.Status), requestID(r)
	if p.retryAfter > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(p.retryAfter))
	}
	if p.Status == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", "Bearer") // RFC 9110, 11.6.1: a 401 has one
	}
	a.send(w, r, p.Status, "application/problem+json", p)
}

func (a *API) send(w http.ResponseWriter, r *http.Request, status int, contentType string, v any) {
	body, err := json.Marshal(v)
	if err != nil { // cannot happen: texts, numbers and instants only
		a.o.Logger.Error("an API reply cannot be written as JSON", "path", r.URL.Path, "error", err)
		status, contentType, body = http.StatusInternalServerError, "application/problem+json", []byte(`{"type":"about:blank","status":500}`)
	}
	w.Header().Set("Content-Type", contentType)
	w.WriteHeader(status)
	_, _ = w.Write(append(body, '\n')) // the client may be gone: nobody to tell
}
