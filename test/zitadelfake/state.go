package zitadelfake

import (
	"maps"
	"slices"
	"strings"
	"time"
)

type authorization struct {
	id, user, org, project, state string
	roles                         []string
	created                       time.Time
}

type role struct {
	project, key, displayName, group string
}

// snapshot is what lists show of a moment.
type snapshot struct {
	auths map[string]authorization
	roles map[string]role
	left  int // lists until it is over
}

func (s *Server) now() snapshot {
	n := snapshot{auths: map[string]authorization{}, roles: map[string]role{}}
	for id, a := range s.auths {
		c := *a
		c.roles = slices.Clone(a.roles)
		n.auths[id] = c
	}
	for k, r := range s.roles {
		n.roles[k] = *r
	}
	return n
}

// wrote is called before each write: lists show what was there before for a
// while.
func (s *Server) wrote() {
	if s.lag > 0 {
		old := s.now()
		old.left = s.lag
		s.shown = append(s.shown, old)
	}
}

// listing returns what a list shows now.
func (s *Server) listing() snapshot {
	if len(s.shown) == 0 {
		return s.now()
	}
	first := s.shown[0]
	if s.shown[0].left--; s.shown[0].left <= 0 {
		s.shown = s.shown[1:]
	}
	return first
}

// Grant is an authorization as it is, for tests to look at and to make.
type Grant struct {
	ID, User, Organization, Project string
	Inactive                        bool
	Roles                           []string
}

// Grants are all authorizations as they are, whatever lists show.
func (s *Server) Grants() []Grant {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []Grant
	for _, id := range slices.Sorted(maps.Keys(s.auths)) {
		a := s.auths[id]
		out = append(out, Grant{a.id, a.user, a.org, a.project, a.state == "STATE_INACTIVE", slices.Clone(a.roles)})
	}
	return out
}

// RolesOf are the roles of a person in a project as they are, sorted.
func (s *Server) RolesOf(user, project string) []string {
	var out []string
	for _, g := range s.Grants() {
		if g.User == user && g.Project == project {
			out = append(out, g.Roles...)
		}
	}
	slices.Sort(out)
	return out
}

// Put makes or changes an authorization, as an administrator would.
func (s *Server) Put(g Grant) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.wrote()
	if g.ID == "" {
		g.ID = s.id()
	}
	state := "STATE_ACTIVE"
	if g.Inactive {
		state = "STATE_INACTIVE"
	}
	s.auths[g.ID] = &authorization{g.ID, g.User, g.Organization, g.Project, state, slices.Clone(g.Roles), s.clock()}
	for _, k := range g.Roles {
		if s.roles[g.Project+"/"+k] == nil {
			s.roles[g.Project+"/"+k] = &role{g.Project, k, k, ""}
		}
	}
}

// Roles are the keys of a project's roles as they are, sorted.
func (s *Server) Roles(project string) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []string
	for k := range s.roles {
		if p, key, _ := strings.Cut(k, "/"); p == project {
			out = append(out, key)
		}
	}
	slices.Sort(out)
	return out
}

// PutRole makes a role of a project, as an administrator would.
func (s *Server) PutRole(project, key, displayName, group string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.roles[project+"/"+key] = &role{project, key, displayName, group}
}
