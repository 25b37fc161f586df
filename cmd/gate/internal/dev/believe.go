package dev

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/neosc/gate/session/verify"
)

// believe tells who is asking. It returns 200, or the status with which the
// request is to be refused.
type believe func(*http.Request) (identity, int)

// byHeaders believes the plain identity headers, as an application does that
// nobody but the edge can reach.
func byHeaders(r *http.Request) (identity, int) {
	id, ok := identify(r.Header)
	if !ok {
		return identity{}, http.StatusUnauthorized
	}
	return id, http.StatusOK
}

// byAssertion believes the signed assertion alone: the plain headers beside it
// are as true as whoever reached the port likes. Keys come from the gate's own
// host, by way of the edge.
func byAssertion(o Origins) (believe, error) {
	gate, err := url.Parse(o.Gate)
	if err != nil {
		return nil, err
	}
	trust := &tls.Config{}
	if o.CA != "" {
		pem, err := os.ReadFile(o.CA)
		if err != nil {
			return nil, err
		}
		if trust.RootCAs = x509.NewCertPool(); !trust.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("%s holds no certificate", o.CA)
		}
	}
	client := &http.Client{Transport: &http.Transport{
		// Go resolves no names below localhost by itself.
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, network, net.JoinHostPort("127.0.0.1", gate.Port()))
		},
		IdleConnTimeout: 30 * time.Second, TLSClientConfig: trust,
	}}
	// An assertion counts for one host: one for the API opens nothing of the
	// admin panel, though both are answered here.
	verifiers := map[string]*verify.Verifier{}
	for _, origin := range []string{o.API, o.Admin} {
		u, err := url.Parse(origin)
		if err != nil {
			return nil, err
		}
		v, err := verify.New(verify.Options{
			Issuer: o.Gate, Audience: u.Hostname(), JWKSURL: o.Gate + "/.well-known/pomerium/jwks.json", Client: client,
		})
		if err != nil {
			return nil, err
		}
		verifiers[u.Hostname()] = v
	}
	return func(r *http.Request) (identity, int) {
		host, _, err := net.SplitHostPort(r.Host)
		if err != nil {
			host = r.Host
		}
		v := verifiers[strings.ToLower(host)]
		if v == nil {
			return identity{}, http.StatusUnauthorized
		}
		x, err := v.Request(r)
		switch {
		case errors.Is(err, verify.ErrInvalid):
			return identity{}, http.StatusUnauthorized
		case err != nil:
			return identity{}, http.StatusServiceUnavailable
		}
		return identity{Email: x.Email, User: x.User, Groups: x.Groups, Roles: x.Roles, Assertion: true}, http.StatusOK
	}, nil
}

// identified lets through only whom who believes.
func (who believe) identified(next func(http.ResponseWriter, *http.Request, identity)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		switch id, status := who(r); status {
		case http.StatusOK:
			next(w, r, id)
		case http.StatusServiceUnavailable:
			w.Header().Set("Retry-After", "1")
			writeJSON(w, status, map[string]string{"error": "the keys of the signed identity cannot be fetched now"})
		default:
			writeJSON(w, status, map[string]string{
				"error": "no identity: this application answers only requests that came through the edge"})
		}
	}
}

// identified lets through only what the edge vouches for by plain headers.
func identified(next func(http.ResponseWriter, *http.Request, identity)) http.HandlerFunc {
	return believe(byHeaders).identified(next)
}
