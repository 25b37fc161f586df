package audit

import (
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/neosc/gate/authz"
	"github.com/neosc/gate/session"
)

// Bounds of a table of actions, and of what an action takes from a path.
const (
	maxActions  = 500
	maxSegments = 16
)

// Actions names what allowed requests do, by route, method and path, so that the
// trail tells of a launch and not of a POST. Immutable, safe for concurrent use.
type Actions struct {
	by map[routeMethod][]pattern
}

type routeMethod struct{ route, method string }

// pattern is a path: a segment {name} stands for any one.
type pattern struct {
	segments []string
	names    []string // of the segments that stand for any one, else ""
	action   session.Action
}

// ParseActions reads a table as policy data has it: a list of objects with
// routes, method, path and action. nil is an empty table.
func ParseActions(data any) (*Actions, error) {
	out := &Actions{by: map[routeMethod][]pattern{}}
	list, ok := data.([]any)
	if data != nil && !ok || len(list) > maxActions {
		return nil, fmt.Errorf("audit_actions must be a list, of at most %d actions", maxActions)
	}
	for i, x := range list {
		if err := out.add(x); err != nil {
			return nil, fmt.Errorf("audit_actions, number %d: %w", i+1, err)
		}
	}
	return out, nil
}

func (a *Actions) add(x any) error {
	m, ok := x.(map[string]any)
	if !ok {
		return fmt.Errorf("it is no object; give it routes, method, path and action")
	}
	for name := range m {
		if !slices.Contains([]string{"routes", "method", "path", "action"}, name) {
			return fmt.Errorf("there is no %.64q; there are routes, method, path and action", name)
		}
	}
	method, _ := m["method"].(string)
	path, _ := m["path"].(string)
	action, _ := m["action"].(string)
	routes, _ := m["routes"].([]any)
	switch {
	case method == "" || method != strings.ToUpper(method):
		return fmt.Errorf("method is missing, or not in capitals")
	case !code(action) || slices.Contains(reserved(), session.Action(action)):
		return fmt.Errorf("action %.64q must be 1 to 64 of a-z, 0-9 and _, and none of the gate's own", action)
	case len(routes) == 0:
		return fmt.Errorf("routes is missing; name the routes whose requests it is for")
	}
	p, err := newPattern(path, session.Action(action))
	if err != nil {
		return err
	}
	for _, r := range routes {
		name, ok := r.(string)
		if !ok || name == "" {
			return fmt.Errorf("routes must be names")
		}
		k := routeMethod{name, method}
		a.by[k] = append(a.by[k], p)
	}
	return nil
}

// reserved are the actions of which the trail tells by itself: a request must
// not look like one.
func reserved() []session.Action {
	return []session.Action{
		session.ActionLogin, session.ActionSSOLogin, session.ActionLogout, session.ActionSessionCreated, session.ActionSessionExpired,
		session.ActionSessionRevoked, session.ActionTokenIssued, session.ActionTokenRevoked, session.ActionRoleAssigned, session.ActionRoleRevoked,
		session.ActionAuditPruned, session.ActionPolicySwitched, session.ActionPolicyActivated, session.ActionPolicyRefused, session.ActionRequestAllowed, session.ActionRequestDenied,
		session.ActionRegister, session.ActionEmailVerified, session.ActionPasswordChanged, session.ActionPasswordResetAsked, session.ActionPasswordReset,
		session.ActionUserChanged, session.ActionUserDisabled, session.ActionUserEnabled, session.ActionUserMoved, session.ActionUserRemoved, session.ActionUserImported,
		session.ActionInvited, session.ActionInvitationAccepted, session.ActionInvitationRevoked, session.ActionOrganizationCreated, session.ActionOrganizationModified,
		session.ActionFactorAdded, session.ActionFactorRemoved, session.ActionFactorRenamed, session.ActionFactorUsed, session.ActionFactorFailed, session.ActionRecoveryCodes,
		session.ActionDemoRequested, session.ActionDemoApproved, session.ActionDemoRefused, session.ActionDemoStarted, session.ActionDemoExtended,
		session.ActionDemoExpired, session.ActionDemoRevoked, session.ActionDemoFailed, session.ActionDemoCleaned, session.ActionDemoOrphan,
	}
}

func code(s string) bool {
	return s != "" && len(s) <= 64 && strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789_") == ""
}

func newPattern(path string, a session.Action) (pattern, error) {
	p := pattern{action: a}
	rest, ok := strings.CutPrefix(path, "/")
	if !ok || strings.Count(rest, "/") >= maxSegments {
		return p, fmt.Errorf("path %.64q must begin with / and have at most %d segments", path, maxSegments)
	}
	p.segments = strings.Split(rest, "/")
	p.names = make([]string, len(p.segments))
	for i, s := range p.segments {
		name, open := strings.CutPrefix(s, "{")
		name, closed := strings.CutSuffix(name, "}")
		switch {
		case s == "" || open != closed || strings.ContainsAny(name, "{}"):
			return p, fmt.Errorf("path %.64q has a segment that is neither a name nor one in braces", path)
		case open && !code(name) || slices.Contains([]string{"method", "host", "path", "route", "status", "reasons"}, name) && open:
			return p, fmt.Errorf("path %.64q: {%.64s} must be a name of a-z, 0-9 and _, and not that of another detail", path, name)
		case open:
			p.names[i] = name
		}
	}
	return p, nil
}

// Of returns what an allowed request does, and the details that its path has;
// "" if nothing in the table fits. The path is read as upstreams read it, decoded
// once.
func (a *Actions) Of(r *authz.Request) (session.Action, map[string]string) {
	if a == nil {
		return "", nil
	}
	all := a.by[routeMethod{r.RouteName, r.Method}]
	if len(all) == 0 {
		return "", nil
	}
	raw, _, _ := strings.Cut(r.Path, "?")
	path, err := url.PathUnescape(raw)
	if err != nil || !strings.HasPrefix(path, "/") {
		return "", nil
	}
	segments := strings.SplitN(path[1:], "/", maxSegments+1)
	for _, p := range all {
		if p.fits(segments) {
			return p.action, p.details(segments)
		}
	}
	return "", nil
}

func (p *pattern) fits(segments []string) bool {
	if len(segments) != len(p.segments) {
		return false
	}
	for i, s := range segments {
		if p.names[i] == "" && s != p.segments[i] || s == "" {
			return false
		}
	}
	return true
}

func (p *pattern) details(segments []string) map[string]string {
	out := map[string]string{}
	for i, name := range p.names {
		if name != "" {
			out[name] = cloned(segments[i])
		}
	}
	return out
}
