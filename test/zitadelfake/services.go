package zitadelfake

import (
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"
)

type procedure func(body []byte) (any, *failure)

func (s *Server) procedures() map[string]procedure {
	const auth, project = "/zitadel.authorization.v2.AuthorizationService/", "/zitadel.project.v2.ProjectService/"
	return map[string]procedure{
		auth + "ListAuthorizations": s.listAuthorizations, auth + "CreateAuthorization": s.createAuthorization,
		auth + "UpdateAuthorization": s.updateAuthorization, auth + "DeleteAuthorization": s.deleteAuthorization,
		project + "AddProjectRole": s.addProjectRole, project + "RemoveProjectRole": s.removeProjectRole,
		project + "ListProjectRoles": s.listProjectRoles,
	}
}

func invalid(message string) *failure {
	return &failure{http.StatusBadRequest, "invalid_argument", message}
}

// short reports whether ids and keys have the published lengths.
func short(values ...string) bool {
	return !slices.ContainsFunc(values, func(v string) bool { return v == "" || len(v) > 200 })
}

type pagination struct {
	Offset uint64 `json:"offset"`
	Limit  uint32 `json:"limit"`
	Asc    bool   `json:"asc"`
}

type idFilter struct {
	ID string `json:"id"`
}

type keyFilter struct {
	Key    string `json:"key"`
	Method string `json:"method"`
}

func (f *keyFilter) fits(key string) bool {
	if f.Method == "TEXT_FILTER_METHOD_STARTS_WITH" {
		return strings.HasPrefix(key, f.Key)
	}
	return key == f.Key
}

type authorizationFilter struct {
	InUserIDs *struct {
		IDs []string `json:"ids"`
	} `json:"inUserIds"`
	UserID    *idFilter  `json:"userId"`
	ProjectID *idFilter  `json:"projectId"`
	RoleKey   *keyFilter `json:"roleKey"`
}

// fits returns false twice for a filter that says nothing, or one that this
// version does not know.
func (f *authorizationFilter) fits(a authorization, oldName bool) (fits, known bool) {
	switch {
	case f.InUserIDs != nil && !oldName:
		return slices.Contains(f.InUserIDs.IDs, a.user), true
	case f.UserID != nil && oldName:
		return f.UserID.ID == a.user, true
	case f.ProjectID != nil:
		return f.ProjectID.ID == a.project, true
	case f.RoleKey != nil:
		return slices.ContainsFunc(a.roles, f.RoleKey.fits), true
	}
	return false, false
}

func (s *Server) listAuthorizations(body []byte) (any, *failure) {
	var in struct {
		Pagination    pagination            `json:"pagination"`
		SortingColumn string                `json:"sortingColumn"`
		Filters       []authorizationFilter `json:"filters"`
	}
	if f := decode(body, &in); f != nil {
		return nil, f
	}
	for _, f := range in.Filters {
		if _, known := f.fits(authorization{}, s.oldName); !known {
			return nil, invalid("invalid AuthorizationsSearchFilter.Filter: value is required")
		}
	}
	var found []any
	seen := s.listing()
	for _, id := range slices.Sorted(maps.Keys(seen.auths)) {
		a := seen.auths[id]
		if !slices.ContainsFunc(in.Filters, func(f authorizationFilter) bool { fits, _ := f.fits(a, s.oldName); return !fits }) {
			found = append(found, a.message(seen))
		}
	}
	page, f := in.Pagination.of(found)
	if f != nil {
		return nil, f
	}
	return map[string]any{"pagination": map[string]any{"totalResult": len(found), "appliedLimit": in.Pagination.Limit}, "authorizations": page}, nil
}

func (a *authorization) message(seen snapshot) any {
	roles := []any{}
	for _, k := range a.roles {
		r := seen.roles[a.project+"/"+k]
		roles = append(roles, map[string]string{"key": k, "displayName": r.displayName, "group": r.group})
	}
	return map[string]any{
		"id": a.id, "creationDate": a.created.Format(time.RFC3339), "project": map[string]string{"id": a.project, "name": "Project", "organizationId": a.org},
		"organization": map[string]string{"id": a.org, "name": "Org"}, "user": map[string]string{"id": a.user, "organizationId": a.org},
		"state": a.state, "roles": roles,
	}
}

// of cuts a page; more than 1,000 at once are refused.
func (p pagination) of(all []any) ([]any, *failure) {
	if p.Limit == 0 {
		p.Limit = 100
	}
	if p.Limit > 1000 {
		return nil, invalid("limit too high (QUERY-4M0fs)")
	}
	from := min(p.Offset, uint64(len(all)))
	return all[from:min(from+uint64(p.Limit), uint64(len(all)))], nil
}

// unknown names a role that the project lacks.
func (s *Server) unknown(project string, keys []string) *failure {
	for i, k := range keys {
		if s.roles[project+"/"+k] == nil {
			return &failure{http.StatusBadRequest, "failed_precondition", "Errors.Project.Role.NotExisting (COMMAND-mm9F4)"}
		}
		if slices.Contains(keys[:i], k) {
			return invalid("RoleKeys: repeated value must contain unique items")
		}
	}
	return nil
}

func (s *Server) createAuthorization(body []byte) (any, *failure) {
	var in struct {
		UserID         string   `json:"userId"`
		ProjectID      string   `json:"projectId"`
		OrganizationID string   `json:"organizationId"`
		RoleKeys       []string `json:"roleKeys"`
	}
	if f := decode(body, &in); f != nil {
		return nil, f
	}
	if !short(in.UserID, in.ProjectID, in.OrganizationID) {
		return nil, invalid("an id is missing")
	}
	if !s.users[in.UserID] {
		return nil, &failure{http.StatusNotFound, "not_found", "Errors.User.NotFound (COMMAND-4M9fs)"}
	}
	if f := s.unknown(in.ProjectID, in.RoleKeys); f != nil {
		return nil, f
	}
	for _, a := range s.auths {
		if a.user == in.UserID && a.project == in.ProjectID && a.org == in.OrganizationID {
			return nil, &failure{http.StatusConflict, "already_exists", "Errors.UserGrant.AlreadyExists (V3-DKcYh)"}
		}
	}
	s.wrote()
	a := &authorization{s.id(), in.UserID, in.OrganizationID, in.ProjectID, "STATE_ACTIVE", in.RoleKeys, s.clock()}
	s.auths[a.id] = a
	return map[string]string{"id": a.id, "creationDate": a.created.Format(time.RFC3339)}, nil
}

func (s *Server) updateAuthorization(body []byte) (any, *failure) {
	var in struct {
		ID       string   `json:"id"`
		RoleKeys []string `json:"roleKeys"`
	}
	if f := decode(body, &in); f != nil {
		return nil, f
	}
	a := s.auths[in.ID]
	if a == nil {
		return nil, &failure{http.StatusNotFound, "not_found", "Errors.UserGrant.NotFound (COMMAND-1N9fs)"}
	}
	if f := s.unknown(a.project, in.RoleKeys); f != nil {
		return nil, f
	}
	if !slices.Equal(a.roles, in.RoleKeys) {
		s.wrote()
		a.roles = in.RoleKeys
	}
	return map[string]string{"changeDate": s.clock().Format(time.RFC3339)}, nil
}

func (s *Server) deleteAuthorization(body []byte) (any, *failure) {
	var in idFilter
	if f := decode(body, &in); f != nil {
		return nil, f
	}
	if s.auths[in.ID] == nil {
		return map[string]string{}, nil
	}
	s.wrote()
	delete(s.auths, in.ID)
	return map[string]string{"deletionDate": s.clock().Format(time.RFC3339)}, nil
}
