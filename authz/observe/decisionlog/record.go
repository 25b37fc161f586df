package decisionlog

import (
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/neosc/gate/authz"
	"github.com/neosc/gate/session"
)

// Record is one decision as it was kept. Its texts are parts of the line that it
// was read from.
type Record struct {
	DecisionID string
	// Time is the decision's own instant.
	Time time.Time
	// Path is the entry point, "neosc/authz/decision".
	Path     string
	Revision string
	// Request is the one that policy was asked about as far as it is recorded,
	// with who asked as its Session; nil in a record without input.
	Request *authz.Request
	// Result is policy's decision; nil if policy was not asked or failed.
	Result *authz.Decision
	// Error is the code of a failure, "" for none.
	Error string
	// Erased and Masked are JSON pointers to what is left out or not the true
	// value.
	Erased, Masked []string

	// What follows is the gate's own; a record of another OPA has none of it.
	RequestID   string
	Verdict     string
	Status      int
	Reasons     []string
	Route       string
	User, Email string
	Generation  uint64
	// Horizon is until when the decision holds: RFC 3339, "forever", or "" if
	// that is not known.
	Horizon string
	// Rules are those that held, "neosc.authz.open authz.rego:52"; nil if that is
	// not known.
	Rules []string
	Took  time.Duration
	Limit *Limit

	// The input's parsed_path and parsed_query as they were written. They follow
	// from the path, unless that is masked.
	path, query string
}

// Limit is the charge that a request was refused for, or was nearest to it.
type Limit struct {
	Name, Key  string
	Remaining  int
	RetryAfter time.Duration
}

// Judged reports whether the decision was policy's to take: not one of the gate
// before policy was asked.
func (r *Record) Judged() bool {
	return r.Result != nil || r.Error == authz.ReasonPolicyError
}

// Roles are those of who asked.
func (r *Record) Roles() []string {
	if r.Request == nil || r.Request.Session == nil {
		return nil
	}
	return r.Request.Session.Identity.Roles
}

// errNoRecord is for JSON that is no decision record.
var errNoRecord = errors.New("it is no decision record: it has neither a decision_id nor input")

// Shared has records that were read by one goroutine share what they have in
// common: routes, and sessions that many requests come with. Then neither may be
// changed.
type Shared struct {
	routes   map[string]*authz.Route
	sessions map[string]*session.Session
}

// NewShared returns an empty one.
func NewShared() *Shared {
	return &Shared{routes: map[string]*authz.Route{}, sessions: map[string]*session.Session{}}
}

// Bounds of what is shared: beyond them it begins anew.
const (
	maxSharedRoutes   = 1000
	maxSharedSessions = 4000
)

// Parse is Parse with what was read before.
func (x *Shared) Parse(line string) (*Record, error) { return parse(&cursor{s: line, shared: x}) }

// Parse reads one record. Members that it does not know are passed over.
func Parse(line string) (*Record, error) { return parse(&cursor{s: line}) }

func parse(c *cursor) (*Record, error) {
	r := &Record{}
	for key := range c.fields {
		switch key {
		case "decision_id":
			r.DecisionID = c.text()
		case "bundles":
			r.bundles(c)
		case "revision":
			r.Revision = c.text()
		case "path":
			r.Path = c.text()
		case "input":
			r.readInput(c)
		case "result":
			if !c.null() {
				r.Result = readResult(c)
			}
		case "erased":
			r.Erased = c.texts()
		case "masked":
			r.Masked = c.texts()
		case "error":
			r.failure(c)
		case "timestamp":
			r.Time = c.time()
		case "custom":
			r.custom(c)
		default:
			c.skip()
		}
	}
	if c.peek() != 0 {
		c.fail("more follows after the record")
	}
	if c.err != nil {
		return nil, c.err
	}
	if r.DecisionID == "" && r.Request == nil {
		return nil, errNoRecord
	}
	r.complete()
	return r, nil
}

// complete takes from the input what only the gate's own records say.
func (r *Record) complete() {
	if r.Result != nil {
		r.Result.Revision, r.Result.Generation = r.Revision, r.Generation
	}
	if r.Request == nil {
		return
	}
	if !r.Time.IsZero() { // whatever the policy's masks made of the input's
		r.Request.Time = r.Time
	}
	r.unfollowed()
	if r.RequestID == "" {
		r.RequestID = r.Request.ID
	}
	if r.Route == "" {
		r.Route = r.Request.RouteName
	}
	if s := r.Request.Session; s != nil && r.User == "" && r.Email == "" {
		r.User, r.Email = s.Identity.UserID, s.Identity.Email
	}
	if r.Verdict == "" && r.Result != nil {
		if r.Verdict = "deny"; r.Result.Allowed {
			r.Verdict = "allow"
		}
		r.Reasons = r.Result.Reasons
	}
}

func (r *Record) bundles(c *cursor) {
	for range c.fields {
		for key := range c.fields {
			if key == "revision" && r.Revision == "" {
				r.Revision = c.text()
			} else {
				c.skip()
			}
		}
	}
}

func (r *Record) failure(c *cursor) {
	if c.peek() != '{' {
		c.skip()
		r.Error = "error"
		return
	}
	for key := range c.fields {
		if key == "code" {
			r.Error = c.text()
		} else {
			c.skip()
		}
	}
}

func (c *cursor) time() time.Time {
	s := c.text()
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		c.fail("%.40q is no time", s)
	}
	return t
}

func (r *Record) custom(c *cursor) {
	for key := range c.fields {
		switch key {
		case "verdict":
			r.Verdict = c.text()
		case "status":
			r.Status = int(c.integer())
		case "reasons":
			r.Reasons = c.texts()
		case "request_id":
			r.RequestID = c.text()
		case "route":
			r.Route = c.text()
		case "user":
			r.User = c.text()
		case "email":
			r.Email = c.text()
		case "generation":
			r.Generation = uint64(max(0, c.integer()))
		case "horizon":
			r.Horizon = c.text()
		case "rules":
			if r.Rules = c.texts(); r.Rules == nil {
				r.Rules = []string{}
			}
		case "took_us":
			us, _ := strconv.ParseFloat(c.number(), 64)
			r.Took = time.Duration(us * 1000)
		case "limit":
			r.Limit = readLimit(c)
		default:
			c.skip()
		}
	}
}

func readLimit(c *cursor) *Limit {
	l := &Limit{}
	for key := range c.fields {
		switch key {
		case "name":
			l.Name = c.text()
		case "key":
			l.Key = c.text()
		case "remaining":
			l.Remaining = int(c.integer())
		case "retry_after_ms":
			l.RetryAfter = time.Duration(c.integer()) * time.Millisecond
		default:
			c.skip()
		}
	}
	return l
}

// sharedSession reads input.session, or finds one of the same text.
func sharedSession(c *cursor) *session.Session {
	if c.shared == nil {
		return readSession(c)
	}
	text := c.raw()
	if s := c.shared.sessions[text]; s != nil || c.err != nil {
		return s
	}
	own := c.own(text)
	s := readSession(own)
	c.err = own.err
	if len(c.shared.sessions) == maxSharedSessions {
		clear(c.shared.sessions)
	}
	c.shared.sessions[own.s] = s
	return s
}

// readSession reads input.session.
func readSession(c *cursor) *session.Session {
	s := &session.Session{}
	id := &s.Identity
	for key := range c.fields {
		switch key {
		case "id":
			if text := c.text(); text != "" {
				if k, err := session.ParseKey(text); err == nil {
					s.Key = k
				}
			}
		case "user":
			readUser(c, id)
		case "roles":
			id.Roles = c.texts()
		case "groups":
			id.Groups = c.texts()
		case "claims":
			if c.peek() != '{' {
				c.skip()
				continue
			}
			id.Claims, _ = c.value().(map[string]any)
		case "provider":
			id.Provider = c.text()
		case "authenticated_at":
			id.AuthenticatedAt = c.time()
		case "expires_at":
			s.ExpiresAt = c.time()
			s.IdleExpiresAt = s.ExpiresAt
		case "amr":
			id.AMR = c.texts()
		case "kind":
			s.Kind = session.Kind(c.text())
		default:
			c.skip()
		}
	}
	return s
}

func readUser(c *cursor, id *session.Identity) {
	for key := range c.fields {
		switch key {
		case "id":
			id.UserID = c.text()
		case "email":
			id.Email = c.text()
		case "email_verified":
			id.EmailVerified = c.boolean()
		case "name":
			id.Name = c.text()
		case "organization":
			id.Organization = c.text()
		default:
			c.skip()
		}
	}
}

// Pointers lists what is left out or masked, as paths of the input.
func (r *Record) Pointers() [][]string {
	var out [][]string
	for _, list := range [][]string{r.Erased, r.Masked} {
		for _, p := range list {
			if p == "/input" {
				out = append(out, nil)
			} else if rest, ok := strings.CutPrefix(p, "/input/"); ok {
				parts := strings.Split(rest, "/")
				for i := range parts {
					parts[i] = strings.NewReplacer("~1", "/", "~0", "~").Replace(parts[i])
				}
				out = append(out, parts)
			}
		}
	}
	return out
}
