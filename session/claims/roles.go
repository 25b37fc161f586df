package claims

import (
	"slices"
	"strings"

	"github.com/neosc/gate/session"
)

// Zitadel's names: roles of the client's own project, and of a project by id.
const (
	ownProject    = "urn:zitadel:iam:org:project:roles"
	projectPrefix = "urn:zitadel:iam:org:project:"
	projectSuffix = ":roles"
)

// rolesOf returns the role names of all claims that hold roles, unchecked.
//
// The claim of the own project belongs to the project of whatever client the
// token was issued to. Zitadel writes every project by its id as well, the own
// one included, so where such claims are there, only ours counts: a token of
// another project's client that is also meant for us (its audience names us)
// would otherwise bring that project's "admin".
func rolesOf(c map[string]any, o MapOptions) []string {
	var out []string
	if len(o.RoleClaims) > 0 {
		for _, n := range o.RoleClaims {
			out = appendNames(out, c[n])
		}
		return out
	}
	if o.ProjectID != "" {
		out = appendNames(out, c[projectPrefix+o.ProjectID+projectSuffix])
	}
	if o.ProjectID == "" || !hasProjectByID(c) {
		out = appendNames(out, c[ownProject])
	}
	return appendNames(out, c["roles"])
}

func hasProjectByID(c map[string]any) bool {
	for n := range c {
		if n != ownProject && strings.HasPrefix(n, projectPrefix) && strings.HasSuffix(n, projectSuffix) {
			return true
		}
	}
	return false
}

// appendNames adds the names that a claim holds: an object whose members are
// roles ({"ops":{"org":"domain"}}; a member that is no object grants nothing),
// an array of such objects or of texts, or one text. More than one above the
// bound are not added: that is enough for the check to refuse them.
func appendNames(out []string, v any) []string {
	switch x := v.(type) {
	case string:
		out = append(out, x)
	case map[string]any:
		out = appendMembers(out, x)
	case []string:
		out = append(out, x[:min(len(x), session.MaxNames+1)]...)
	case []any:
		for _, e := range x[:min(len(x), session.MaxNames+1)] {
			switch y := e.(type) {
			case string:
				out = append(out, y)
			case map[string]any:
				out = appendMembers(out, y)
			}
		}
	}
	return out
}

func appendMembers(out []string, x map[string]any) []string {
	from := len(out)
	for name, orgs := range x {
		if _, ok := orgs.(map[string]any); ok {
			out = append(out, name)
		}
		if len(out)-from > session.MaxNames {
			break
		}
	}
	slices.Sort(out[from:]) // an error names the same role each time
	return out
}

// groupsOf returns the groups, which are never roles: a group named "owner"
// owns nothing.
func groupsOf(c map[string]any, o MapOptions) []string {
	names := o.GroupClaims
	if len(names) == 0 {
		names = []string{"groups"}
	}
	var out []string
	for _, n := range names {
		out = appendNames(out, c[n])
	}
	return out
}

// defaultKnown are the roles of the policies that come with the gate.
var defaultKnown = []string{"admin", "demo-user", "neosc", "user"}

func withDefault(roles []string, o MapOptions) ([]string, error) {
	known := o.KnownRoles
	if len(known) == 0 {
		known = defaultKnown
	}
	if o.DefaultRole == "" || slices.ContainsFunc(roles, func(r string) bool { return slices.Contains(known, r) }) {
		return roles, nil
	}
	return session.CheckNames("role", append(roles, o.DefaultRole))
}
