package api

import (
	"context"
	"fmt"
	"net/http"
	"testing"

	"github.com/neosc/gate/session"
)

// switches is one switch in memory, with what was asked of it.
type switches struct {
	is   session.Switch
	by   []string
	down error
}

func (f *switches) Switches(context.Context) (session.SwitchList, error) {
	return session.SwitchList{Revision: "abc", Generation: 2, Switches: []session.Switch{f.is}, Ignored: []session.IgnoredSwitch{}}, f.down
}

func (f *switches) SetSwitch(ctx context.Context, name string, v *session.SwitchValue, version uint64) (session.Switch, error) {
	switch {
	case f.down != nil:
		return session.Switch{}, f.down
	case name != f.is.Name:
		return session.Switch{}, fmt.Errorf("%w: the policy declares no %q", session.ErrNoSwitch, name)
	case version != f.is.Version:
		return session.Switch{}, session.ErrSwitchChanged
	case v != nil && *v == session.NumberValue(1000):
		return session.Switch{}, fmt.Errorf("%w: burst must be from 1 to 100", session.ErrBadSwitch)
	}
	f.is.Set, f.is.Value, f.is.Version = v != nil, f.is.Default, version+1
	if v != nil {
		f.is.Value = *v
	}
	f.is.ChangedAt, f.is.ChangedBy = base, "ada@kappa4.com"
	f.by = append(f.by, session.OriginOf(ctx).Actor.ID)
	return f.is, nil
}

func newSwitchHouse(t *testing.T) (*house, *switches) {
	least, most := 1.0, 100.0
	f := &switches{is: session.Switch{Name: "burst", Type: session.SwitchInteger, Title: "Burst", Min: &least, Max: &most, Default: session.NumberValue(20), Value: session.NumberValue(20)}}
	return newHouse(t, func(o *Options) { o.Switches = f }), f
}

func TestAdministratorsTurnSwitches(t *testing.T) {
	t.Parallel()
	x, f := newSwitchHouse(t)
	ada := x.token("ada")
	all := read[session.SwitchList](x.do("GET", "/api/policy/switches", ada, ""), http.StatusOK)
	if len(all.Switches) != 1 || all.Switches[0].Value != session.NumberValue(20) || all.Generation != 2 {
		t.Errorf("listed %+v", all)
	}
	got := read[session.Switch](x.do("PUT", "/api/policy/switches/burst", ada, `{"value": 7, "version": 0}`), http.StatusOK)
	if !got.Set || got.Value != session.NumberValue(7) || got.Version != 1 || len(f.by) != 1 || f.by[0] != "usr_ada" {
		t.Errorf("it is %+v by %v", got, f.by)
	}
	got = read[session.Switch](x.do("PUT", "/api/policy/switches/burst", ada, `{"reset": true, "version": 1}`), http.StatusOK)
	if got.Set || got.Value != session.NumberValue(20) {
		t.Errorf("set back, it is %+v", got)
	}
}

func TestSwitchesAreTurnedKnowinglyAndByAdministratorsAlone(t *testing.T) {
	t.Parallel()
	x, f := newSwitchHouse(t)
	x.do("GET", "/api/policy/switches", "", "").reason(401, "unauthenticated")
	x.do("GET", "/api/policy/switches", x.token("nora"), "").reason(403, "role_required")
	x.do("PUT", "/api/policy/switches/burst", x.token("nora"), `{"value": 7, "version": 0}`).reason(403, "role_required")
	ada := x.token("ada")
	for body, want := range map[string]struct {
		status int
		reason string
	}{
		`{"value": 7}`:                              {422, "request_invalid"},
		`{"version": 0}`:                            {422, "request_invalid"},
		`{"value": 7, "version": 3}`:                {409, "conflict"},
		`{"value": 1000, "version":0}`:              {422, "request_invalid"},
		`{"value": "7", "version": 0}`:              {422, "request_invalid"},
		`{"value": [7], "version": 0}`:              {422, "request_invalid"},
		`{"value": 1e300, "version":0}`:             {422, "request_invalid"},
		`{"value": null, "version":0}`:              {400, "request_invalid"},
		`{"value": 7, "reset": true, "version": 0}`: {422, "request_invalid"},
		`{"value": 7, "version": -1}`:               {400, "request_invalid"},
		`{"value": 7, "versoin": 0}`:                {400, "request_invalid"},
	} {
		t.Run(body, func(t *testing.T) {
			x.do("PUT", "/api/policy/switches/burst", ada, body).reason(want.status, want.reason)
		})
	}
	x.do("PUT", "/api/policy/switches/other", ada, `{"value": 7, "version": 0}`).reason(404, "not_found")
	x.do("GET", "/api/policy/switches?all=1", ada, "").reason(400, "request_invalid")
	if len(f.by) != 0 {
		t.Error("it was changed")
	}
	f.down = fmt.Errorf("%w: disk on fire", session.ErrUnavailable)
	x.do("GET", "/api/policy/switches", ada, "").reason(503, "unavailable")
	x.do("PUT", "/api/policy/switches/burst", ada, `{"value": 7, "version": 0}`).reason(503, "unavailable")
}
