package dev

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"
)

// Origins are the external origins (scheme, host, port) of the demo, as a
// browser sees them: "http://portal.neosc.localhost:8080".
type Origins struct {
	Portal, API, Admin, Workspace, Gate string
	// CA is the PEM file of who vouches for the edge's certificate, if not the
	// system's authorities.
	CA string
}

// Upstreams are the three small applications behind the edge.
type Upstreams struct {
	// Frontend, Backend and Kasm are the host:port at which each listens.
	Frontend, Backend, Kasm string

	servers []*http.Server
	sockets []*sockets
	served  sync.WaitGroup
}

// UpstreamOptions set up the three. Origins and Logger are needed.
type UpstreamOptions struct {
	Origins Origins
	Logger  *slog.Logger
	// AssertionOnly makes the backend believe the signed assertion and nothing
	// else, as TRUST_POMERIUM_HEADERS=false asks for. Administrators it believes by
	// that alone in any case.
	AssertionOnly bool
}

// StartUpstreams starts the three, each on a free port of the loopback
// interface. On an error none is left running.
func StartUpstreams(opt UpstreamOptions) (*Upstreams, error) {
	o, log := opt.Origins, opt.Logger
	signed, err := byAssertion(o)
	if err != nil {
		return nil, fmt.Errorf("upstream backend: %w", err)
	}
	who := believe(byHeaders)
	if opt.AssertionOnly {
		who = signed
	}
	u := &Upstreams{}
	kasm := newSockets(o.Workspace)
	portal := newSockets(o.Portal)
	u.sockets = []*sockets{kasm, portal}
	for _, up := range []struct {
		name    string
		addr    *string
		handler http.Handler
	}{
		{"frontend", &u.Frontend, frontend(o, portal)},
		{"backend", &u.Backend, newBackend().handler(who, signed)},
		{"kasm-proxy", &u.Kasm, kasmProxy(o, kasm)},
	} {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, errors.Join(fmt.Errorf("upstream %s: %w", up.name, err), u.Close(context.Background()))
		}
		*up.addr = l.Addr().String()
		u.serve(up.name, l, up.handler, log)
	}
	return u, nil
}

func (u *Upstreams) serve(name string, l net.Listener, h http.Handler, log *slog.Logger) {
	srv := &http.Server{
		Handler:           recovering(name, h, log),
		ReadHeaderTimeout: 5 * time.Second,
		// Longer than the longest /slow, or the edge's timeout could not be seen.
		WriteTimeout: slowest + 15*time.Second,
		// Longer than the hour for which Envoy keeps an idle connection: were
		// ours the shorter, Envoy would now and then send into a closing one
		// and answer 503.
		IdleTimeout:    75 * time.Minute,
		MaxHeaderBytes: 64 << 10,
		ErrorLog:       slog.NewLogLogger(log.Handler(), slog.LevelWarn),
	}
	u.servers = append(u.servers, srv)
	u.served.Go(func() {
		if err := srv.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			log.Error("upstream ended", "upstream", name, "err", err)
		}
	})
}

// Close cuts the open sockets, lets running requests end until ctx is over,
// and returns when the servers are gone.
func (u *Upstreams) Close(ctx context.Context) error {
	for _, s := range u.sockets {
		s.close()
	}
	var errs []error
	for _, srv := range u.servers {
		if err := srv.Shutdown(ctx); err != nil {
			errs = append(errs, err, srv.Close())
		}
	}
	u.served.Wait()
	return errors.Join(errs...)
}

// recovering turns a panic of one request into a 500 for that request.
func recovering(name string, next http.Handler, log *slog.Logger) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			p := recover()
			switch p {
			case nil:
			case http.ErrAbortHandler:
				panic(p)
			default:
				log.Error("upstream request failed", "upstream", name, "panic", fmt.Sprint(p))
				http.Error(w, "internal error", http.StatusInternalServerError)
			}
		}()
		next.ServeHTTP(w, r)
	})
}

// identity is who the edge says is asking.
type identity struct {
	Email  string   `json:"email"`
	User   string   `json:"user"`
	Groups []string `json:"groups"`
	// Roles are those of the signed assertion, which alone tells them from groups.
	Roles []string `json:"-"`
	// SessionID and WorkspaceType are set on the workspace host alone.
	SessionID     string `json:"session_id,omitempty"`
	WorkspaceType string `json:"workspace_type,omitempty"`
	// Assertion says whether the signed assertion came along.
	Assertion bool `json:"signed_assertion"`
}

// identify reads the identity headers. It fails for a request without them and
// for one that has any of them twice: the edge sets each once, so a second one
// came from somebody else.
func identify(h http.Header) (identity, bool) {
	one := func(name string) (string, bool) {
		vs := h.Values(name)
		if len(vs) == 0 {
			return "", true
		}
		return vs[0], len(vs) == 1
	}
	var id identity
	var groups, assertion string
	for name, to := range map[string]*string{
		"X-Pomerium-Email": &id.Email, "X-Pomerium-User": &id.User, "X-Pomerium-Groups": &groups,
		"X-Pomerium-Jwt-Assertion": &assertion, "X-Session-Id": &id.SessionID, "X-Workspace-Type": &id.WorkspaceType,
	} {
		v, ok := one(name)
		if !ok {
			return identity{}, false
		}
		*to = v
	}
	id.Groups = []string{}
	if groups != "" {
		id.Groups = strings.Split(groups, ",")
	}
	id.Assertion = assertion != ""
	return id, id.User != ""
}
