package envoy

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	"google.golang.org/protobuf/proto"

	"github.com/neosc/gate/authz/route"
)

// settle is how long Envoy's workers may go on with the routes before a change
// after it was taken, and how long a change is given where nobody can be asked
// whether it was.
const settle = 250 * time.Millisecond

// carrier brings resources of one kind to Envoy.
type carrier interface {
	// put makes the list all that there is of the kind from now on.
	put(kind, version string, b *builder, list ...proto.Message) error
	// change does that and waits until Envoy has taken it; an error says that it
	// has not.
	change(ctx context.Context, kind, version string, b *builder, list ...proto.Message) error
	// has reports whether Envoy has one of the versions, as far as it can be asked.
	has(ctx context.Context, kind string, versions ...string) bool
}

// roll takes Envoy from the routes of o to next: new upstreams first, then the
// routes, then away with what is not used any more. On an error the carrier has
// what it had before.
func roll(ctx context.Context, c carrier, o Options, next *route.File) error {
	before := o.Routes
	if keys := before.NeedsRestart(next); len(keys) > 0 {
		return fmt.Errorf("%v cannot change while Envoy runs", keys)
	}
	old := &builder{Options: o}
	o.Routes = next
	fresh := &builder{Options: o}
	clusters := fresh.clusters()
	both := slices.Clone(clusters)
	keep := old.clusters()
	if !c.has(ctx, kindClusters, before.Revision(), before.Revision()+"+") {
		keep = nil // refused at the gate's start: nothing leads to them, and they would be refused again
	}
	for _, c := range keep {
		if !slices.ContainsFunc(clusters, func(n *clusterv3.Cluster) bool { return n.Name == c.Name }) {
			both = append(both, c)
		}
	}
	if err := c.change(ctx, kindClusters, next.Revision()+"+", fresh, messages(both)...); err != nil {
		return errors.Join(err, c.put(kindClusters, before.Revision(), old, messages(old.clusters())...))
	}
	if err := c.change(ctx, kindRoutes, next.Revision(), fresh, fresh.routeConfiguration()); err != nil {
		return errors.Join(err,
			c.put(kindRoutes, before.Revision(), old, old.routeConfiguration()),
			c.put(kindClusters, before.Revision(), old, messages(old.clusters())...))
	}
	if len(both) == len(clusters) {
		return nil
	}
	pause(ctx, settle)
	return c.put(kindClusters, next.Revision(), fresh, messages(clusters)...)
}

func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

func messages[M proto.Message](list []M) []proto.Message {
	out := make([]proto.Message, 0, len(list))
	for _, m := range list {
		out = append(out, m)
	}
	return out
}
