package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/neosc/gate/authz"
	"github.com/neosc/gate/authz/observe"
	"github.com/neosc/gate/authz/route"
	"github.com/neosc/gate/cmd/gate/internal/crlfiles"
)

// openRevoked reads the lists of revoked client certificates, so that one is
// refused on a connection that is open, too. The routes file names them as Envoy
// sees them: where the gate has no such file, Envoy alone looks.
func (a *app) openRevoked() (err error) {
	a.revoked, err = crlfiles.New(a.routes.RevocationLists(), a.log)
	a.health.Add("revocation lists", func(context.Context) error { return observe.Degraded(a.revoked.Problem()) })
	return err
}

// checkRevoked names the lists, and which of them the gate cannot look at. One
// that is there and is none is an error: Envoy takes it, and revokes nobody.
func checkRevoked(file string, f *route.File, w io.Writer) error {
	var errs []error
	for _, list := range f.RevocationLists() {
		n, err := crlfiles.Count(list)
		switch {
		case err == nil:
			fmt.Fprintf(w, "revoked   ok  %s: %d client certificates\n", list, n)
		case crlfiles.Unreachable(err):
			fmt.Fprintf(w, "revoked   --  %v: Envoy alone looks, when a connection begins\n", err)
		default:
			errs = append(errs, fmt.Errorf("%s: client_certificates.crl: %w; gate certs revoke writes one", file, err))
		}
	}
	return errors.Join(errs...)
}

func (a *app) isRevoked(list string, c *authz.Certificate) bool {
	return a.revoked.Revoked(list, c.RawIssuer, c.Serial)
}
