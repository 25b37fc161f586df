package admin

import (
	"context"
	"net/http"
	"net/url"

	"github.com/neosc/gate/session"
)

// switchChange is what a switch is to be: a nil Value takes back what it was set
// to. Version is what the caller has seen; both must be there.
type switchChange struct {
	Value   *session.SwitchValue `json:"value"`
	Version *uint64              `json:"version"`
}

func (a *API) listSwitches(r *http.Request) (any, error) {
	if _, err := parameters(r); err != nil {
		return nil, err
	}
	return a.o.Switches.Switches(r.Context())
}

func (a *API) setSwitch(r *http.Request) (any, error) {
	var c switchChange
	if err := decode(r, &c); err != nil {
		return nil, err
	}
	if c.Version == nil {
		return nil, problem(http.StatusUnprocessableEntity, "version is missing; say which one you saw")
	}
	return a.o.Switches.SetSwitch(r.Context(), r.PathValue("name"), c.Value, *c.Version)
}

// Switches lists the switches of the active policy.
func (c *Client) Switches(ctx context.Context) (out session.SwitchList, err error) {
	err = c.do(ctx, "GET", "/v1/policy/switches", nil, nil, &out)
	return out, err
}

// SetSwitch sets a switch that was seen at a version; nil sets it back.
func (c *Client) SetSwitch(ctx context.Context, name string, v *session.SwitchValue, version uint64) (out session.Switch, err error) {
	err = c.do(ctx, "PUT", "/v1/policy/switches/"+url.PathEscape(name), nil, switchChange{v, &version}, &out)
	return out, err
}
