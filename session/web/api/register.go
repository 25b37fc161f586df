package api

import (
	"net/http"

	"github.com/neosc/gate/session"
	"github.com/neosc/gate/session/web"
)

type registerRequest struct {
	Email        string `json:"email"`
	Password     string `json:"password"`
	Name         string `json:"name"`
	Organization string `json:"organization"`
	Invitation   string `json:"invitation"`
}

// register keeps a registration and gives its owner a session without a role.
// For an email that has an account already all of this is the same, the session
// included: the reply says nothing of who is here.
func (a *API) register(c *call) (reply, error) {
	var q registerRequest
	if err := a.forPasswords(c, &q); err != nil {
		return reply{}, err
	}
	id, err := a.o.Registrar.Register(c.Context(), session.Registration{
		Email: q.Email, Password: q.Password, Name: q.Name, Organization: q.Organization, Invitation: q.Invitation,
	}, web.ClientAddr(c.Request))
	if err != nil {
		return reply{}, err
	}
	a.o.Mark(&id)
	t, err := a.o.Sessions.BeginTokens(c.Context(), session.Draft{Identity: id})
	if err != nil {
		return reply{}, err
	}
	out, err := a.signedIn(c, t)
	out.status = http.StatusCreated
	return out, err
}

type verifyRequest struct {
	Token    string `json:"token"`
	Password string `json:"password"`
}

// verifyEmail makes the account of a registration and signs its owner in.
func (a *API) verifyEmail(c *call) (reply, error) {
	var q verifyRequest
	if err := a.forPasswords(c, &q); err != nil {
		return reply{}, err
	}
	id, err := a.o.Registrar.VerifyEmail(c.Context(), q.Token, q.Password, web.ClientAddr(c.Request))
	if err != nil {
		return reply{}, err
	}
	a.o.Mark(&id)
	return a.begin(c, id)
}

type resetRequest struct {
	Email string `json:"email"`
}

// askReset has a link mailed, if there is an account. It says the same if not.
func (a *API) askReset(c *call) (reply, error) {
	var q resetRequest
	if err := a.forPasswords(c, &q); err != nil {
		return reply{}, err
	}
	if err := a.o.Registrar.RequestReset(c.Context(), q.Email, web.ClientAddr(c.Request)); err != nil {
		return reply{}, err
	}
	return reply{status: http.StatusAccepted}, nil
}

type newPasswordRequest struct {
	Token    string `json:"token"`
	Password string `json:"password"`
}

func (a *API) reset(c *call) (reply, error) {
	var q newPasswordRequest
	if err := a.forPasswords(c, &q); err != nil {
		return reply{}, err
	}
	_, err := a.o.Registrar.ResetPassword(c.Context(), q.Token, q.Password, web.ClientAddr(c.Request))
	return reply{status: http.StatusNoContent}, err
}
