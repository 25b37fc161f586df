package api

import (
	"encoding/json"
	"errors"
	"net/http"

	"github.com/neosc/gate/session"
)

// switchChange is what a switch is to be: set to a value, or set back to the
// policy's default. Version is the one that the caller saw.
type switchChange struct {
	Value   json.RawMessage `json:"value"`
	Reset   bool            `json:"reset"`
	Version *uint64         `json:"version"`
}

// switchTable are the addresses of the policy's switches.
func (a *API) switchTable() []served {
	if a.o.Switches == nil {
		return nil
	}
	return []served{
		{Route{"GET", "/api/policy/switches", Admin}, a.listSwitches},
		{Route{"PUT", "/api/policy/switches/{name}", Admin}, a.setSwitch},
	}
}

func (a *API) listSwitches(c *call) (reply, error) {
	if _, err := parameters(c.Request); err != nil {
		return reply{}, err
	}
	all, err := a.o.Switches.Switches(c.Context())
	return reply{body: all}, err
}

func (a *API) setSwitch(c *call) (reply, error) {
	var q switchChange
	if err := decode(c.w, c.Request, &q); err != nil {
		return reply{}, err
	}
	switch {
	case q.Version == nil:
		return reply{}, invalid("Version is missing. Send the one that you saw, so that nobody's change is written over unseen.")
	case q.Reset == (q.Value != nil):
		return reply{}, invalid("Send either a value, true, false or a number, or reset: true.")
	}
	var v *session.SwitchValue
	if !q.Reset {
		x, err := session.ParseSwitchValue(string(q.Value))
		if err != nil {
			return reply{}, switchProblem(err)
		}
		v = &x
	}
	s, err := a.o.Switches.SetSwitch(c.Context(), c.PathValue("name"), v, *q.Version)
	return reply{body: s}, switchProblem(err)
}

// switchProblem is what a program is told of an error of session.Switches; of
// others, what it is told of those.
func switchProblem(err error) error {
	switch {
	case errors.Is(err, session.ErrNoSwitch):
		return problem(http.StatusNotFound, "not_found", "%s", sentence(err.Error()))
	case errors.Is(err, session.ErrBadSwitch):
		return invalid("%s", sentence(err.Error()))
	case errors.Is(err, session.ErrSwitchChanged):
		return problem(http.StatusConflict, "conflict", "%s Look again and decide anew.", sentence(err.Error()))
	}
	return err
}
