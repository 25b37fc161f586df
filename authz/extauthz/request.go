package extauthz

import (
	"errors"
	"strings"
	"time"

	"github.com/neosc/gate/authz"
	"github.com/neosc/gate/authz/extauthz/wire"
)

// Bounds on one CheckRequest. The edge allows 64 headers of 32 KiB in all and
// forwards a dozen; these stop a misconfigured one.
const (
	maxHeaders     = 128
	maxHeaderBytes = 64 << 10
	maxPathBytes   = 16 << 10
)

// routeKey is the context extension in which the edge names the matched route.
const routeKey = "route"

// revisionKey is the one in which it names the routes file that it matched by.
const revisionKey = "routes"

var errTooLarge = errors.New("request is larger than the edge may forward")

// readRequest reads a CheckRequest's bytes into r, fresh or reset, at instant
// now. The route is looked up by the name that Envoy sent, never matched again
// (CVE-2023-33189). Absent submessages read as zero values, as protobuf defines.
func readRequest(m string, scan *wire.Scanner, r *authz.Request, routes authz.Routes, now time.Time) {
	mapped, err := scan.Scan(m, r)
	if err != nil {
		// A generated server would fail the call; Envoy answers that with a page
		// of its own, and may call again. What was read until then says nothing.
		r.Reset()
		r.Time, r.Unreadable = now, err
		return
	}
	r.Time = now
	r.Host, r.SNI = strings.ToLower(r.Host), strings.ToLower(r.SNI)
	if r.RouteName = r.Extensions[routeKey]; r.RouteName != "" {
		if at, ok := routes.(revisions); ok {
			r.Route = at.RouteAt(r.RouteName, r.Extensions[revisionKey])
		} else {
			r.Route = routes.Route(r.RouteName)
		}
	}
	r.ID, _ = r.Headers.Get("x-request-id")
	if len(r.Path) > maxPathBytes {
		r.Path, r.Headers, r.Unreadable = "/", nil, errTooLarge
		return
	}
	if len(r.Headers) > maxHeaders || mapped > maxHeaders || headerBytes(r.Headers) > maxHeaderBytes {
		r.Headers, r.Unreadable = nil, errTooLarge
	}
}

// revisions finds a route in the file by which the edge matched: while files
// change, some requests were matched by the one before.
type revisions interface {
	RouteAt(name, revision string) *authz.Route
}

func headerBytes(hs authz.Headers) (n int) {
	for i := range hs {
		n += len(hs[i].Name) + len(hs[i].Value)
	}
	return n
}
