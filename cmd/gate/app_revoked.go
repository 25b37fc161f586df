package main

import (
	"context"

	"github.com/neosc/gate/authz"
	"github.com/neosc/gate/authz/observe"
	"github.com/neosc/gate/cmd/gate/internal/crlfiles"
)

// openRevoked reads the lists of revoked client certificates, so that one is
// refused on a connection that is open, too. The routes file names them as Envoy
// sees them: where the gate has no such file, Envoy alone looks.
func (a *app) openRevoked() {
	a.revoked = crlfiles.New(a.routes.RevocationLists(), a.log)
	a.health.Add("revocation lists", func(context.Context) error { return observe.Degraded(a.revoked.Problem()) })
}

func (a *app) isRevoked(list string, c *authz.Certificate) bool {
	return a.revoked.Revoked(list, c.RawIssuer, c.Serial)
}
