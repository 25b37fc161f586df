// Package fakenetbird is a fake of NetBird's management API: peers, groups and
// setup keys in its wire format, with its loose matching of names, its status
// codes and its error bodies. A live key enrols peers, as the real one's does.
package fakenetbird

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
)

// Token is the one that the fake accepts.
const Token = "nbp_of-the-tests"

// Group is one of its groups, and ID its id.
const (
	Group   = "demo-workspaces"
	GroupID = "g-1"
)

type ref struct {
	ID         string `json:"id"`
	Name       string `json:"name"`
	PeersCount int    `json:"peers_count"`
}

// Peer is a machine.
type Peer struct {
	ID        string `json:"id"`
	Name      string `json:"name"`
	Hostname  string `json:"hostname"`
	IP        string `json:"ip"`
	UserID    string `json:"user_id"`
	Connected bool   `json:"connected"`
	Ephemeral bool   `json:"ephemeral"`
	Groups    []ref  `json:"groups"`
}

// Key is a setup key.
type Key struct {
	ID         string   `json:"id"`
	Name       string   `json:"name"`
	Key        string   `json:"key"`
	Type       string   `json:"type"`
	Revoked    bool     `json:"revoked"`
	Valid      bool     `json:"valid"`
	Ephemeral  bool     `json:"ephemeral"`
	UsageLimit int      `json:"usage_limit"`
	ExpiresIn  int64    `json:"-"`
	AutoGroups []string `json:"auto_groups"`
	clear      string
}

// Server is the fake. Safe for concurrent use.
type Server struct {
	URL string

	mu       sync.Mutex
	n        int
	peers    []Peer
	keys     []Key
	calls    []string
	failures map[string][]failure
	reenrol  bool
}

type failure struct {
	status int
	header http.Header
}

// Start runs a fake until the test ends.
func Start(t testing.TB) *Server {
	s := &Server{failures: map[string][]failure{}}
	h := httptest.NewServer(http.HandlerFunc(s.serve))
	t.Cleanup(h.Close)
	s.URL = h.URL
	return s
}

// AddPeer has a machine there, in the group of demos if member.
func (s *Server) AddPeer(name string, member bool) (id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.add(name, member)
}

func (s *Server) add(name string, member bool) string {
	s.n++
	p := Peer{ID: fmt.Sprintf("p-%d", s.n), Name: name, Hostname: name, IP: fmt.Sprintf("100.64.0.%d", s.n), Connected: true, Groups: []ref{{ID: "g-0", Name: "All"}}}
	if member {
		p.Groups = append(p.Groups, ref{ID: GroupID, Name: Group})
	}
	s.peers = append(s.peers, p)
	return p.ID
}

// Enrol is a machine that joins with a key.
func (s *Server) Enrol(key, hostname string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, k := range s.keys {
		if k.clear == key && k.Valid && !k.Revoked {
			s.keys[i].Valid = k.Type != "one-off"
			s.add(hostname, slices.Contains(k.AutoGroups, GroupID))
			return true
		}
	}
	return false
}

// ReenrolOnce has the next peer that is deleted come back at once.
func (s *Server) ReenrolOnce() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reenrol = true
}

// Fail has the next call of a kind (such as "DELETE peers") answered so.
func (s *Server) Fail(call string, status int, header http.Header) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failures[call] = append(s.failures[call], failure{status, header})
}

// Calls returns what was asked for, in order.
func (s *Server) Calls() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.calls)
}

// Peers returns the names of all peers, Keys all setup keys.
func (s *Server) Peers() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	names := []string{}
	for _, p := range s.peers {
		names = append(names, p.Name)
	}
	return names
}

// Keys returns all setup keys.
func (s *Server) Keys() []Key {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.keys)
}

func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	say := func(status int, body any) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(body)
	}
	problem := func(status int, message string) {
		say(status, map[string]any{"message": message, "code": status})
	}
	if r.Header.Get("Authorization") != "Token "+Token {
		problem(http.StatusUnauthorized, "token invalid")
		return
	}
	what, id, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/api/"), "/")
	call := r.Method + " " + what
	s.calls = append(s.calls, strings.TrimSpace(call+" "+s.name(what, id)))
	if f := s.failures[call]; len(f) > 0 {
		s.failures[call] = f[1:]
		for k, v := range f[0].header {
			w.Header()[k] = v
		}
		problem(f[0].status, http.StatusText(f[0].status))
		return
	}
	switch call {
	case "GET peers":
		n := r.URL.Query().Get("name")
		out := slices.DeleteFunc(slices.Clone(s.peers), func(p Peer) bool { return !strings.Contains(p.Name, n) })
		say(http.StatusOK, out)
	case "GET groups":
		say(http.StatusOK, []ref{{ID: "g-0", Name: "All"}, {ID: GroupID, Name: Group}})
	case "GET setup-keys":
		out := append([]Key{}, s.keys...)
		say(http.StatusOK, out)
	case "DELETE peers", "DELETE setup-keys":
		if !s.delete(what, id) {
			problem(http.StatusNotFound, what+" not found")
			return
		}
		say(http.StatusOK, struct{}{})
	case "POST setup-keys", "PUT setup-keys":
		s.change(r, id, say, problem)
	default:
		problem(http.StatusNotFound, "no such path")
	}
}

func (s *Server) name(what, id string) string {
	if what == "peers" {
		if i := slices.IndexFunc(s.peers, func(p Peer) bool { return p.ID == id }); i >= 0 {
			return s.peers[i].Name
		}
	}
	if i := slices.IndexFunc(s.keys, func(k Key) bool { return k.ID == id }); what == "setup-keys" && i >= 0 {
		return s.keys[i].Name
	}
	return id
}

func (s *Server) delete(what, id string) bool {
	if what == "setup-keys" {
		n := len(s.keys)
		s.keys = slices.DeleteFunc(s.keys, func(k Key) bool { return k.ID == id })
		return len(s.keys) < n
	}
	i := slices.IndexFunc(s.peers, func(p Peer) bool { return p.ID == id })
	if i < 0 {
		return false
	}
	gone := s.peers[i]
	s.peers = slices.Delete(s.peers, i, i+1)
	if s.reenrol {
		s.reenrol = false
		s.add(gone.Name, true)
	}
	return true
}

func (s *Server) change(r *http.Request, id string, say func(int, any), problem func(int, string)) {
	var in struct {
		Name       string    `json:"name"`
		Type       string    `json:"type"`
		ExpiresIn  *int64    `json:"expires_in"`
		AutoGroups *[]string `json:"auto_groups"`
		UsageLimit int       `json:"usage_limit"`
		Ephemeral  bool      `json:"ephemeral"`
		Revoked    *bool     `json:"revoked"`
	}
	d := json.NewDecoder(r.Body)
	d.DisallowUnknownFields()
	if err := d.Decode(&in); err != nil || in.AutoGroups == nil {
		problem(http.StatusUnprocessableEntity, "the body is not right")
		return
	}
	if r.Method == http.MethodPut {
		i := slices.IndexFunc(s.keys, func(k Key) bool { return k.ID == id })
		if i < 0 || in.Revoked == nil {
			problem(http.StatusNotFound, "setup key not found")
			return
		}
		s.keys[i].Revoked, s.keys[i].Valid = *in.Revoked, false
		say(http.StatusOK, s.keys[i])
		return
	}
	if in.Type != "one-off" && in.Type != "reusable" || in.ExpiresIn == nil || *in.ExpiresIn < 0 || in.Name == "" {
		problem(http.StatusUnprocessableEntity, "the body is not right")
		return
	}
	s.n++
	k := Key{ID: fmt.Sprintf("k-%d", s.n), Name: in.Name, Key: "A61612*****", Type: in.Type, Valid: true, Ephemeral: in.Ephemeral, UsageLimit: in.UsageLimit, ExpiresIn: *in.ExpiresIn, AutoGroups: *in.AutoGroups}
	k.clear = fmt.Sprintf("SETUP-KEY-%d", s.n)
	s.keys = append(s.keys, k)
	k.Key = k.clear
	say(http.StatusOK, k)
}
