package zitadel

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/neosc/gate/session/demo/internal/outbound"
)

const (
	userAgent = "neosc-gate"
	maxAnswer = 2 << 20
	// callTime bounds one question.
	callTime = 5 * time.Second
)

// The procedures that are used; they have no other addresses than these.
const (
	authorizations = "/zitadel.authorization.v2.AuthorizationService/"
	projects       = "/zitadel.project.v2.ProjectService/"
)

// client asks Zitadel's APIs of version 2 by the Connect protocol, in JSON.
type client struct {
	base       *outbound.Place
	credential *credential
	clock      func() time.Time
}

func newClient(o Options) (*client, error) {
	cred, err := newCredential(o)
	if err != nil {
		return nil, err
	}
	base, err := outbound.At(o.Issuer, o.Roots)
	if err != nil {
		return nil, fmt.Errorf("issuer %w", err)
	}
	return &client{base: base, credential: cred, clock: o.Clock}, nil
}

// apiError is an answer that is none: a code of Connect's, and words.
type apiError struct {
	procedure, code, message string
	status                   int
}

func (e *apiError) Error() string {
	if e.message == "" {
		return fmt.Sprintf("%s: Zitadel answered %d (%s)", e.procedure, e.status, e.code)
	}
	return fmt.Sprintf("%s: Zitadel answered %d (%s): %q", e.procedure, e.status, e.code, e.message)
}

// Codes of Connect's, of those that mean something here.
const (
	codeExists       = "already_exists"
	codeNotFound     = "not_found"
	codeInvalid      = "invalid_argument"
	codePrecondition = "failed_precondition"
	codeDenied       = "permission_denied"
	codeUnknown      = "unimplemented"
	codeToken        = "unauthenticated"
)

func code(err error) string {
	if e, ok := errors.AsType[*apiError](err); ok {
		return e.code
	}
	return ""
}

// final reports whether asking the same again would get the same.
func final(err error) bool {
	switch code(err) {
	case codeNotFound, codeInvalid, codePrecondition, codeDenied, codeUnknown:
		return true
	}
	return false
}

// call asks once, and once more with a new token if the one it had is not
// taken: a restored Zitadel knows none of its old ones.
func (c *client) call(ctx context.Context, service, method string, in, out any) error {
	err := c.once(ctx, service, method, in, out)
	if code(err) == codeToken {
		err = c.once(ctx, service, method, in, out)
	}
	return err
}

func (c *client) once(ctx context.Context, service, method string, in, out any) error {
	ctx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	token, err := c.credential.get(ctx)
	if err != nil {
		return err
	}
	body, err := json.Marshal(in)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.base.Target+service+method, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header = http.Header{
		"Content-Type": {"application/json"}, "Accept": {"application/json"}, "User-Agent": {userAgent}, "Connect-Protocol-Version": {"1"},
		"Authorization": {"Bearer " + token},
	}
	a, err := c.base.Do(req, maxAnswer, c.clock())
	if err != nil {
		return fmt.Errorf("%s: %w", method, err)
	}
	if a.Status == http.StatusOK {
		if err := json.Unmarshal(a.JSON, out); err != nil {
			return fmt.Errorf("%s: the answer of %s is not what it should be", method, c.base.Name)
		}
		return nil
	}
	e := failure(method, a)
	if e.code == codeToken {
		c.credential.drop(token)
	}
	return a.Delayed(e)
}

// failure reads an error of Connect's. What is none, a proxy's page, is read by
// its status as the protocol says; above all a 404 then is not "not found",
// which would be a clean-up that is done.
func failure(method string, a outbound.Answer) *apiError {
	var said struct {
		Code    string `json:"code"`
		Message string `json:"message"`
	}
	_ = json.Unmarshal(a.JSON, &said)
	e := &apiError{procedure: method, code: outbound.Words(said.Code), message: outbound.Words(said.Message), status: a.Status}
	if e.code == "" {
		switch a.Status {
		case http.StatusUnauthorized:
			e.code = codeToken
		case http.StatusForbidden:
			e.code = codeDenied
		case http.StatusNotFound:
			e.code = codeUnknown
		case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
			e.code = "unavailable"
		default:
			e.code = "unknown"
		}
	}
	return e
}
