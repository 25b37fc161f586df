package observe

import (
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/neosc/gate/authz"
	"github.com/neosc/gate/session"
)

// Bounds of Recent.
const (
	// DefaultRecent is how many decisions are remembered.
	DefaultRecent = 4096
	maxRecent     = 1 << 20
	// maxRecorded is the most bytes of text kept of one decision.
	maxRecorded = 4 << 10
	// maxRecordedText bounds one header, maxRecordedPath the path and query.
	maxRecordedText = 512
	maxRecordedPath = 2048
	// maxClaims is the most bytes of claims that a remembered session may hold
	// on to; larger ones are remembered without.
	maxClaims = 8 << 10
)

// Recent remembers recent decisions, so that somebody who was refused can be
// told why by the request id that the refusal shows. Half of the room is for
// denials and failures, which a stream of allows, sign-in redirects and
// exceeded limits would push out within seconds, and which are asked about.
// What may hold a secret is left out as it is remembered: see Recorded.
// It takes at most 4 KiB of text and 8 KiB of claims a decision: 48 MiB for
// DefaultRecent, some 3 MiB as a rule. Safe for concurrent use.
type Recent struct {
	denials, others recentRing
	// fits are sessions whose claims were found small enough, by a part of the
	// key: looking at them again would be a third of the work.
	fits [64]atomic.Pointer[session.Session]
}

// recentRing is filled round and round. Each slot has a lock of its own, so
// that decisions taken at once do not wait for each other.
type recentRing struct {
	next  atomic.Uint64
	slots []recentSlot
}

type recentSlot struct {
	mu   sync.Mutex
	text []byte // every text of the record, one after the other; reused
	recordedFields
	recordedLists
}

// free returns the oldest slot that nobody is at, locked. A decision never waits
// for somebody who reads: it takes the next slot, and if that many are read at
// once, it is not remembered.
func (ring *recentRing) free() *recentSlot {
	for range 8 {
		s := &ring.slots[(ring.next.Add(1)-1)%uint64(len(ring.slots))]
		if s.mu.TryLock() {
			return s
		}
	}
	return nil
}

// NewRecent returns a Recent for n decisions; 0 means DefaultRecent.
func NewRecent(n int) (*Recent, error) {
	if n == 0 {
		n = DefaultRecent
	}
	if n < 2 || n > maxRecent {
		return nil, errors.New("observe: the number of recent decisions must be from 2 to 1048576")
	}
	r := &Recent{}
	r.denials.slots = make([]recentSlot, n/2)
	r.others.slots = make([]recentSlot, n-n/2)
	return r, nil
}

// Observe implements authz.Observer. A decision without a request id cannot be
// asked for, and is not remembered.
func (x *Recent) Observe(r *authz.Request, o *authz.Outcome, took time.Duration) {
	if r.ID == "" || len(r.ID) > maxID {
		return
	}
	ring := &x.others
	if o.Verdict == authz.Denied || o.Verdict == authz.Failed {
		ring = &x.denials
	}
	who, whole := x.remembered(o.Session)
	s := ring.free()
	if s == nil {
		return
	}
	s.record(r, o, took)
	if s.session = who; !whole {
		s.left |= leftClaims
	}
	s.mu.Unlock()
}

// Find returns the newest decision about a request id.
func (x *Recent) Find(id string) (rec Recorded, found bool) {
	if id == "" {
		return rec, false
	}
	for _, ring := range []*recentRing{&x.denials, &x.others} {
		for i := range ring.slots {
			s := &ring.slots[i]
			s.mu.Lock()
			if s.used && s.isID(id) && (!found || s.time.After(rec.Request.Time)) {
				rec, found = s.read(), true
			}
			s.mu.Unlock()
		}
	}
	return rec, found
}

// Reach says how far back the memory goes.
type Reach struct {
	// Denials and Others are how many decisions of each kind are remembered,
	// DenialsSince and OthersSince when the oldest of them were taken; zero
	// when there are none.
	Denials, Others           int
	DenialsSince, OthersSince time.Time
}

// Reach tells how far back Find can find.
func (x *Recent) Reach() Reach {
	var r Reach
	r.Denials, r.DenialsSince = x.denials.reach()
	r.Others, r.OthersSince = x.others.reach()
	return r
}

func (ring *recentRing) reach() (n int, since time.Time) {
	for i := range ring.slots {
		s := &ring.slots[i]
		s.mu.Lock()
		if s.used {
			n++
			if since.IsZero() || s.time.Before(since) {
				since = s.time
			}
		}
		s.mu.Unlock()
	}
	return n, since
}

// Recorded is a decision as it is remembered, without what may be a secret:
// cookies and Authorization, headers, claims and query parameters that
// authz.SecretName and SecretParameter know by name. It shares nothing with
// the request; its session is the immutable one, with masked claims.
type Recorded struct {
	// Request is the request without its secrets.
	Request *authz.Request
	// Verdict to Took are the outcome. JudgedByPolicy is false when the gate
	// refused before policy was asked, or policy failed.
	Verdict        authz.Verdict
	Status         int
	Reasons        []string
	JudgedByPolicy bool
	Revision       string
	Generation     uint64
	Took           time.Duration
	// Limit is the charge that refused or was nearest to it, nil without.
	Limit *authz.Charge
	Spent authz.Spent
	// LeftOut says what was left out or masked when it was remembered.
	LeftOut []string
}

// remembered returns what of a session may be held on to: itself or, where its
// claims are too large, a copy without them.
func (x *Recent) remembered(s *session.Session) (kept *session.Session, whole bool) {
	if s == nil {
		return nil, true
	}
	known := &x.fits[s.Key[0]%uint8(len(x.fits))]
	if known.Load() == s {
		return s, true
	}
	if claimsRoom(s.Identity.Claims, maxClaims, 0) >= 0 {
		known.Store(s)
		return s, true
	}
	c := *s
	c.Identity.Claims = nil
	return &c, false
}

// claimsRoom takes the rough size of v off left; negative means too large. It
// ends as soon as it is, so that a large session costs no more than a small one.
func claimsRoom(v any, left, depth int) int {
	if depth > 16 {
		return -1
	}
	left -= 16
	switch v := v.(type) {
	case string:
		left -= len(v)
	case map[string]any:
		for k, x := range v {
			if left -= len(k) + 32; left < 0 {
				return left
			}
			left = claimsRoom(x, left, depth+1)
		}
	case []any:
		for _, x := range v {
			if left = claimsRoom(x, left, depth+1); left < 0 {
				return left
			}
		}
	}
	return left
}
