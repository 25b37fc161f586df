package route

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/neosc/gate/authz"
)

// Live is the routes file in use, which can be changed while requests go on.
// Between a change here and the same change in Envoy, requests come that Envoy
// matched by the file before; each is judged by the file whose revision Envoy
// names with it. Safe for concurrent use.
type Live struct {
	mu  sync.Mutex // for writers
	now atomic.Pointer[generation]
}

// generation is what holds at one time.
type generation struct {
	current *File
	// before are files that Envoy may still match by.
	before []*File
}

// Live finds routes for decisions.
var _ authz.Routes = (*Live)(nil)

// NewLive returns a Live whose file is f.
func NewLive(f *File) *Live {
	l := &Live{}
	l.now.Store(&generation{current: f})
	return l
}

// File is the file in use.
func (l *Live) File() *File { return l.now.Load().current }

// Swap puts f in use. The file before goes on for requests that Envoy matched
// by it, until Retire.
func (l *Live) Swap(f *File) {
	l.mu.Lock()
	defer l.mu.Unlock()
	g := l.now.Load()
	before := []*File{g.current}
	for _, old := range g.before {
		if old.revision != g.current.revision && len(before) < maxBefore {
			before = append(before, old)
		}
	}
	before = slices.DeleteFunc(before, func(old *File) bool { return old.revision == f.revision })
	l.now.Store(&generation{current: f, before: before})
}

// maxBefore bounds how many files of quick changes are remembered.
const maxBefore = 8

// Retire forgets all files but the one in use: requests that Envoy still
// matches by others are judged by the route of that name, if there is one.
func (l *Live) Retire() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.now.Store(&generation{current: l.now.Load().current})
}

// Route implements authz.Routes with the file in use.
func (l *Live) Route(name string) *authz.Route { return l.RouteAt(name, "") }

// RouteAt returns the route of the file that Envoy matched by. Of a revision
// that is not known it is the route of that name in the file in use.
func (l *Live) RouteAt(name, revision string) *authz.Route {
	g := l.now.Load()
	if revision != g.current.revision {
		for _, old := range g.before {
			if old.revision == revision {
				return old.routes[name]
			}
		}
	}
	return g.current.routes[name]
}

// IsOrigin reports whether s is an origin of the file in use.
func (l *Live) IsOrigin(s string) bool { return l.File().IsOrigin(s) }

// NeedsRestart lists the settings in which next differs from f and which cannot
// be changed while requests go on: those that live in Envoy's listener, whose
// change would cut every stream, and those that the gate reads at its start.
func (f *File) NeedsRestart(next *File) []string {
	var keys []string
	differs := func(key string, same bool) {
		if !same {
			keys = append(keys, key)
		}
	}
	differs("gate", f.gate == next.gate)
	differs("listen", f.listen == next.listen)
	differs("trusted_hops", f.trustedHops == next.trustedHops)
	differs("shields", f.shields == next.shields)
	differs("check_headers", slices.Equal(f.forwarded, next.forwarded))
	differs("set_headers", slices.Equal(f.settable.patterns, next.settable.patterns))
	differs("response_headers", slices.Equal(f.response.patterns, next.response.patterns))
	differs("strip_headers", slices.Equal(f.strip, next.strip))
	differs("tls, hsts or client_certificates", f.transport() == next.transport())
	return keys
}

// ListenerRevision names what NeedsRestart compares: files with the same one
// can take each other's place while Envoy runs.
func (f *File) ListenerRevision() string {
	h := sha256.New()
	fmt.Fprintf(h, "%q", []any{f.gate, f.listen, f.trustedHops, f.shields, f.forwarded, f.settable.patterns, f.response.patterns, f.strip, f.transport()})
	return hex.EncodeToString(h.Sum(nil)[:8])
}
