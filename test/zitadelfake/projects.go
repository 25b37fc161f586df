package zitadelfake

import (
	"maps"
	"net/http"
	"slices"
	"time"
)

func (s *Server) addProjectRole(body []byte) (any, *failure) {
	var in struct {
		ProjectID   string `json:"projectId"`
		RoleKey     string `json:"roleKey"`
		DisplayName string `json:"displayName"`
		Group       string `json:"group"`
	}
	if f := decode(body, &in); f != nil {
		return nil, f
	}
	if !short(in.ProjectID, in.RoleKey, in.DisplayName) || len(in.Group) > 200 {
		return nil, invalid("a text is missing or too long")
	}
	if s.roles[in.ProjectID+"/"+in.RoleKey] != nil {
		return nil, &failure{http.StatusConflict, "already_exists", "Errors.Project.Role.AlreadyExists (V3-DKcYh)"}
	}
	s.wrote()
	s.roles[in.ProjectID+"/"+in.RoleKey] = &role{in.ProjectID, in.RoleKey, in.DisplayName, in.Group}
	return map[string]string{"creationDate": s.clock().Format(time.RFC3339)}, nil
}

// removeProjectRole takes the role out of all authorizations that lists show to
// have it, and leaves them there, even without any.
func (s *Server) removeProjectRole(body []byte) (any, *failure) {
	var in struct {
		ProjectID string `json:"projectId"`
		RoleKey   string `json:"roleKey"`
	}
	if f := decode(body, &in); f != nil {
		return nil, f
	}
	key := in.ProjectID + "/" + in.RoleKey
	if s.roles[key] == nil {
		return map[string]string{}, nil
	}
	seen := s.now()
	if len(s.shown) > 0 {
		seen = s.shown[0]
	}
	s.wrote()
	delete(s.roles, key)
	for id, a := range s.auths {
		if a.project == in.ProjectID && slices.Contains(seen.auths[id].roles, in.RoleKey) {
			a.roles = slices.DeleteFunc(slices.Clone(a.roles), func(k string) bool { return k == in.RoleKey })
		}
	}
	return map[string]string{"removalDate": s.clock().Format(time.RFC3339)}, nil
}

func (s *Server) listProjectRoles(body []byte) (any, *failure) {
	var in struct {
		ProjectID     string     `json:"projectId"`
		Pagination    pagination `json:"pagination"`
		SortingColumn string     `json:"sortingColumn"`
		Filters       []struct {
			RoleKeyFilter *keyFilter `json:"roleKeyFilter"`
		} `json:"filters"`
	}
	if f := decode(body, &in); f != nil {
		return nil, f
	}
	var found []any
	seen := s.listing()
	for _, k := range slices.Sorted(maps.Keys(seen.roles)) {
		r := seen.roles[k]
		fits := r.project == in.ProjectID
		for _, f := range in.Filters {
			if f.RoleKeyFilter == nil {
				return nil, invalid("invalid ProjectRoleSearchFilter.Filter: value is required")
			}
			fits = fits && f.RoleKeyFilter.fits(r.key)
		}
		if fits {
			found = append(found, map[string]string{"projectId": r.project, "key": r.key, "displayName": r.displayName, "group": r.group})
		}
	}
	page, f := in.Pagination.of(found)
	if f != nil {
		return nil, f
	}
	return map[string]any{"pagination": map[string]any{"totalResult": len(found), "appliedLimit": in.Pagination.Limit}, "projectRoles": page}, nil
}
