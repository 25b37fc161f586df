package web

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/neosc/gate/session"
)

// fakeSwitches has two switches in memory.
type fakeSwitches struct {
	mu   sync.Mutex
	list session.SwitchList
	by   []session.Person
	down error
}

func newFakeSwitches() *fakeSwitches {
	least, most := 1.0, 100.0
	return &fakeSwitches{list: session.SwitchList{Revision: "abc", Generation: 3, Switches: []session.Switch{
		{Name: "business_hours", Type: session.SwitchBoolean, Title: "Business <hours>", Default: session.BooleanValue(true), Value: session.BooleanValue(true)},
		{Name: "user_burst", Type: session.SwitchInteger, Title: "Burst", Min: &least, Max: &most, Default: session.NumberValue(20), Value: session.NumberValue(20)},
	}, Ignored: []session.IgnoredSwitch{{Name: "old_one", Value: session.NumberValue(4), Version: 2, Why: "the policy declares no such switch"}}}}
}

func (f *fakeSwitches) Switches(context.Context) (session.SwitchList, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	out := f.list
	out.Switches = append([]session.Switch(nil), f.list.Switches...)
	return out, f.down
}

func (f *fakeSwitches) SetSwitch(ctx context.Context, name string, v *session.SwitchValue, version uint64) (session.Switch, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i := range f.list.Switches {
		x := &f.list.Switches[i]
		switch {
		case x.Name != name:
			continue
		case x.Version != version:
			return *x, session.ErrSwitchChanged
		case v != nil && *v == session.NumberValue(1000):
			return *x, fmt.Errorf("%w: user_burst must be from 1 to 100", session.ErrBadSwitch)
		}
		x.Set, x.Value = v != nil, x.Default
		if v != nil {
			x.Value = *v
		}
		x.Version++
		f.by = append(f.by, session.OriginOf(ctx).Actor)
		return *x, nil
	}
	return session.Switch{}, session.ErrNoSwitch
}

// as signs somebody in with a role and returns their browser.
func (x *house) as(role string) *browser {
	x.t.Helper()
	b := x.browser()
	_, value, err := x.sessions.Create(context.Background(), session.Identity{UserID: "u-" + role, Email: role + "@kappa4.com", Name: "Somebody", Roles: []string{role}}, session.Browser, 0)
	if err != nil {
		x.t.Fatal(err)
	}
	b.cookies["_pomerium"] = value
	return b
}

func newSwitchHouse(t *testing.T) (*house, *fakeSwitches) {
	f := newFakeSwitches()
	return newHouse(t, func(o *Options) { o.Switches = f }), f
}

func TestAdministratorTurnsASwitchOnThePage(t *testing.T) {
	t.Parallel()
	x, f := newSwitchHouse(t)
	b := x.as("admin")
	page := text(t, b.do("GET", "/admin/switches", nil))
	for _, want := range []string{"Business &lt;hours&gt;", `name="value" value="false"`, `min="1" max="100" step="1" value="20"`, "old_one", "the policy declares no such switch"} {
		if !strings.Contains(page, want) {
			t.Errorf("the page lacks %q:\n%s", want, page)
		}
	}
	done := b.do("POST", "/admin/switches", url.Values{"csrf": {token(t, page)}, "name": {"business_hours"}, "version": {"0"}, "value": {"false"}})
	if to := done.Header.Get("Location"); done.StatusCode != http.StatusSeeOther || to != gateOrigin+"/admin/switches?changed=business_hours" {
		t.Fatalf("%s to %q: %s", done.Status, to, text(t, done))
	}
	if len(f.by) != 1 || f.by[0] != (session.Person{ID: "u-admin", Email: "admin@kappa4.com"}) {
		t.Errorf("changed by %+v", f.by)
	}
	page = text(t, b.do("GET", "/admin/switches?changed=business_hours", nil))
	if !strings.Contains(page, "stands at false now") || !strings.Contains(page, `name="reset"`) {
		t.Errorf("the page does not tell of the change:\n%s", page)
	}
	b.do("POST", "/admin/switches", url.Values{"csrf": {token(t, page)}, "name": {"business_hours"}, "version": {"1"}, "reset": {"true"}})
	if f.list.Switches[0].Set {
		t.Error("it is not set back")
	}
}

func TestSwitchesChangeOnlyByAFormOfThePage(t *testing.T) {
	t.Parallel()
	good := func(csrf string) url.Values {
		return url.Values{"csrf": {csrf}, "name": {"user_burst"}, "version": {"0"}, "value": {"7"}}
	}
	for name, c := range map[string]struct {
		role   string
		form   func(csrf string) url.Values
		edit   func(*http.Request)
		status int
	}{
		"NoToken":         {"admin", func(string) url.Values { return good("") }, nil, 403},
		"AnothersToken":   {"admin", func(string) url.Values { return good(strings.Repeat("A", 43)) }, nil, 403},
		"ForeignOrigin":   {"admin", good, func(r *http.Request) { r.Header.Set("Origin", portal) }, 403},
		"NoOrigin":        {"admin", good, func(r *http.Request) { r.Header.Del("Origin") }, 403},
		"NoAdministrator": {"neosc", good, nil, 403},
		"TooLarge": {"admin", func(c string) url.Values {
			v := good(c)
			v.Set("more", strings.Repeat("x", maxSwitchForm))
			return v
		}, nil, 403},
		"SeenAnotherVersion": {"admin", func(c string) url.Values { v := good(c); v.Set("version", "4"); return v }, nil, 409},
		"OutOfRange":         {"admin", func(c string) url.Values { v := good(c); v.Set("value", "1000"); return v }, nil, 422},
		"NoNumber":           {"admin", func(c string) url.Values { v := good(c); v.Set("value", "many"); return v }, nil, 422},
		"NoVersion":          {"admin", func(c string) url.Values { v := good(c); v.Del("version"); return v }, nil, 422},
		"Unknown":            {"admin", func(c string) url.Values { v := good(c); v.Set("name", "nothing"); return v }, nil, 404},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			x, f := newSwitchHouse(t)
			b := x.as(c.role)
			csrf := ""
			if page := text(t, b.do("GET", "/admin/switches", nil)); c.role == "admin" {
				csrf = token(t, page)
			}
			edit := c.edit
			if edit == nil {
				edit = func(*http.Request) {}
			}
			if got := b.do("POST", "/admin/switches", c.form(csrf), edit); got.StatusCode != c.status {
				t.Errorf("answered %s, want %d", got.Status, c.status)
			}
			if len(f.by) != 0 {
				t.Error("it was changed")
			}
		})
	}
}

func TestSwitchesAreForAdministrators(t *testing.T) {
	t.Parallel()
	x, f := newSwitchHouse(t)
	if got := x.browser().do("GET", "/admin/switches", nil); got.StatusCode != http.StatusSeeOther || !strings.Contains(got.Header.Get("Location"), "/oauth2/sign_in?rd=") {
		t.Errorf("a stranger is answered %s", got.Status)
	}
	if got := x.as("user").do("GET", "/admin/switches", nil); got.StatusCode != http.StatusForbidden {
		t.Errorf("a user is answered %s", got.Status)
	}
	f.down = session.ErrUnavailable
	if got := x.as("admin").do("GET", "/admin/switches", nil); got.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("without a store it is %s", got.Status)
	}
	if got := newHouse(t).as("admin").do("GET", "/admin/switches", nil); got.StatusCode != http.StatusNotFound {
		t.Errorf("without switches it is %s", got.Status)
	}
}
