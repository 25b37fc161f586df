package zitadel

import (
	"context"
	"errors"
	"slices"
)

// The messages of Zitadel's APIs, as far as they are used: its
// authorization/v2 and project/v2 in JSON.
type (
	pagination struct {
		Offset uint64 `json:"offset,omitempty"`
		Limit  uint32 `json:"limit"`
		Asc    bool   `json:"asc"`
	}
	text struct {
		Key    string `json:"key"`
		Method string `json:"method"`
	}
	idFilter struct {
		ID string `json:"id"`
	}
	idsFilter struct {
		IDs []string `json:"ids"`
	}
	// authorizationFilter has one of its fields.
	authorizationFilter struct {
		InUserIDs *idsFilter `json:"inUserIds,omitempty"`
		UserID    *idFilter  `json:"userId,omitempty"` // what it was called before
		ProjectID *idFilter  `json:"projectId,omitempty"`
		RoleKey   *text      `json:"roleKey,omitempty"`
	}
	listAuthorizations struct {
		Pagination pagination            `json:"pagination"`
		Sorting    string                `json:"sortingColumn"`
		Filters    []authorizationFilter `json:"filters"`
	}
	named struct {
		ID string `json:"id"`
	}
	// authorization is what somebody may do in a project.
	authorization struct {
		ID           string `json:"id"`
		Project      named  `json:"project"`
		Organization named  `json:"organization"`
		User         named  `json:"user"`
		State        string `json:"state"`
		Roles        []struct {
			Key string `json:"key"`
		} `json:"roles"`
	}
	createAuthorization struct {
		UserID         string   `json:"userId"`
		ProjectID      string   `json:"projectId"`
		OrganizationID string   `json:"organizationId"`
		RoleKeys       []string `json:"roleKeys"`
	}
	updateAuthorization struct {
		ID       string   `json:"id"`
		RoleKeys []string `json:"roleKeys"`
	}
	roleFilter struct {
		RoleKey *text `json:"roleKeyFilter"`
	}
	listRoles struct {
		ProjectID  string       `json:"projectId"`
		Pagination pagination   `json:"pagination"`
		Sorting    string       `json:"sortingColumn"`
		Filters    []roleFilter `json:"filters"`
	}
	projectRole struct {
		Key         string `json:"key"`
		DisplayName string `json:"displayName"`
		Group       string `json:"group"`
	}
	addRole struct {
		ProjectID   string `json:"projectId"`
		RoleKey     string `json:"roleKey"`
		DisplayName string `json:"displayName"`
		Group       string `json:"group"`
	}
	removeRole struct {
		ProjectID string `json:"projectId"`
		RoleKey   string `json:"roleKey"`
	}
	nothing struct{}
)

const (
	inactive   = "STATE_INACTIVE"
	equals     = "TEXT_FILTER_METHOD_EQUALS"
	startsWith = "TEXT_FILTER_METHOD_STARTS_WITH"
)

// keys are the authorization's roles.
func (a *authorization) keys() []string {
	out := make([]string, len(a.Roles))
	for i, r := range a.Roles {
		out[i] = r.Key
	}
	return out
}

// without returns the roles but one.
func (a *authorization) without(role string) []string {
	return slices.DeleteFunc(a.keys(), func(k string) bool { return k == role })
}

// Bounds on lists.
const (
	pageSize = 100
	maxPages = 200
)

var errTooLong = errors.New("a list of Zitadel's does not end")

// listed gets all pages of a list; get returns how many it got.
func listed(get func(p pagination) (int, error)) error {
	p := pagination{Limit: pageSize, Asc: true}
	for range maxPages {
		n, err := get(p)
		if err != nil || n < pageSize {
			return err
		}
		p.Offset += uint64(n)
	}
	return errTooLong
}

// authorizations lists those of the project that a filter selects.
func (s *Step) authorizations(ctx context.Context, f authorizationFilter) ([]authorization, error) {
	var all []authorization
	err := listed(func(p pagination) (int, error) {
		var page struct {
			Authorizations []authorization `json:"authorizations"`
		}
		err := s.client.call(ctx, authorizations, "ListAuthorizations", listAuthorizations{
			Pagination: p, Sorting: "AUTHORIZATION_FIELD_NAME_ID", Filters: []authorizationFilter{{ProjectID: &idFilter{s.o.ProjectID}}, f},
		}, &page)
		all = append(all, page.Authorizations...)
		return len(page.Authorizations), err
	})
	// Versions differ in what filters they know: what is changed here is what was
	// asked about, whatever came.
	return slices.DeleteFunc(all, func(a authorization) bool { return a.ID == "" || a.Project.ID != s.o.ProjectID }), err
}

// holders lists the authorizations that have a role.
func (s *Step) holders(ctx context.Context, role string) ([]authorization, error) {
	all, err := s.authorizations(ctx, authorizationFilter{RoleKey: &text{role, equals}})
	return slices.DeleteFunc(all, func(a authorization) bool { return !slices.Contains(a.keys(), role) }), err
}

// ofUser lists a person's authorizations.
func (s *Step) ofUser(ctx context.Context, userID string) ([]authorization, error) {
	all, err := s.authorizations(ctx, authorizationFilter{InUserIDs: &idsFilter{[]string{userID}}})
	if code(err) == codeInvalid {
		all, err = s.authorizations(ctx, authorizationFilter{UserID: &idFilter{userID}})
	}
	return slices.DeleteFunc(all, func(a authorization) bool { return a.User.ID != userID }), err
}

// of returns a person's authorization; nil if there is none.
func (s *Step) of(ctx context.Context, userID string) (*authorization, error) {
	all, err := s.ofUser(ctx, userID)
	for i := range all {
		if all[i].Organization.ID == s.o.OrganizationID {
			return &all[i], err
		}
	}
	return nil, err
}

// projectRoles lists the project's roles that a filter selects.
func (s *Step) projectRoles(ctx context.Context, f text) ([]projectRole, error) {
	var all []projectRole
	err := listed(func(p pagination) (int, error) {
		var page struct {
			Roles []projectRole `json:"projectRoles"`
		}
		err := s.client.call(ctx, projects, "ListProjectRoles", listRoles{
			ProjectID: s.o.ProjectID, Pagination: p, Sorting: "PROJECT_ROLE_FIELD_NAME_KEY", Filters: []roleFilter{{&f}},
		}, &page)
		all = append(all, page.Roles...)
		return len(page.Roles), err
	})
	return all, err
}

// foreign reports whether a role is there that was made for something else.
func (s *Step) foreign(ctx context.Context, role, grant string) (bool, error) {
	roles, err := s.projectRoles(ctx, text{role, equals})
	return slices.ContainsFunc(roles, func(r projectRole) bool {
		return r.Key == role && (r.Group != s.o.Group || r.DisplayName != grant)
	}), err
}
