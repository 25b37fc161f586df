package e2e

import (
	"context"
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/neosc/gate/session/sqlstore/pgtest"
	"github.com/neosc/gate/test/idp/hostile"
	"github.com/neosc/gate/test/kit"
	"github.com/neosc/gate/test/redistest"
)

// restarted is a store that ends at once and comes back with what it had
// written.
type restarted struct {
	settings string
	end      func() error
	begin    func() error
}

func TestRedisRestartsInTheMiddleOfSignIns(t *testing.T) {
	t.Parallel()
	s, err := redistest.Socket("--appendonly", "yes")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	restartInTheMiddle(t, restarted{fmt.Sprintf("session: {store: redis, redis: %q}\n", s.URL), s.Stop, s.Start})
}

func TestPostgresRestartsInTheMiddleOfSignIns(t *testing.T) {
	t.Parallel()
	s, err := pgtest.New()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	restartInTheMiddle(t, restarted{fmt.Sprintf("session: {store: postgres, postgres: %q}\n", s.URL), s.Kill, s.Start})
}

// midway is a demo of people who are at different points of their way when the
// store goes.
type midway struct {
	*kit.Edge
	client *http.Client
	issuer *hostile.Issuer
}

func restartInTheMiddle(t *testing.T, store restarted) {
	world := hostile.Start()
	t.Cleanup(world.Close)
	dir := filepath.Join(t.TempDir(), "policies")
	if err := kit.WritePolicies(dir); err != nil {
		t.Fatal(err)
	}
	m := &midway{Edge: kit.StartEdge(t), issuer: world.Issuer("good")}
	m.Configure(t, fmt.Sprintf("policy: {path: %q}\n%sproviders:\n%s", dir, store.settings, m.issuer.Provider("")))
	gate := m.Serve(t)
	m.client = m.Client(t)
	early := newVisitor(t, m.Edge, m.client)
	if reply, err := early.signsIn(m.issuer, hostile.Person(nil)); err != nil || reply.StatusCode != http.StatusOK {
		t.Fatalf("%v %+v", err, reply)
	}
	m.betweenStartAndCallback(t, store, early)
	m.underLoad(t, store)
	// What was there before both restarts still is, and a gate that has seen
	// nothing yet reads it from the store.
	gate.Terminate(t)
	m.Serve(t)
	within(t, time.Minute, "the session of before opens the portal at a new gate", func() bool {
		reply, err := early.get(m.Origin("portal") + "/")
		return err == nil && reply.StatusCode == http.StatusOK
	})
}

// betweenStartAndCallback: who is at the provider meanwhile arrives afterwards;
// who comes while the store is away is told so, and may try again.
func (m *midway) betweenStartAndCallback(t *testing.T, store restarted, early *visitor) {
	patient, hasty := newVisitor(t, m.Edge, m.client), newVisitor(t, m.Edge, m.client)
	var callbacks []string
	for _, v := range []*visitor{patient, hasty} {
		callback, reply, err := v.leave(m.issuer, hostile.Person(nil))
		if err != nil || callback == "" {
			t.Fatalf("%v %+v", err, reply)
		}
		callbacks = append(callbacks, callback)
	}
	if err := store.end(); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		reply, err := hasty.get(callbacks[1])
		if err != nil || !clearPage(reply) || hasty.session() != "" {
			t.Errorf("a callback while the store is away: %v\n%s", err, describe(reply))
		}
		if _, reply, err = newVisitor(t, m.Edge, m.client).leave(m.issuer, hostile.Person(nil)); err != nil || !clearPage(reply) {
			t.Errorf("a sign-in that begins while the store is away: %v\n%s", err, describe(reply))
		}
		// An application is open to whom the gate knows, or shut with 503; nobody is
		// led away.
		if reply, err = early.get(m.Origin("portal") + "/"); err != nil || reply.StatusCode != http.StatusOK && reply.StatusCode != http.StatusServiceUnavailable {
			t.Errorf("an application while the store is away: %v\n%s", err, describe(reply))
		}
	}
	if err := store.begin(); err != nil {
		t.Fatal(err)
	}
	for i, v := range []*visitor{patient, hasty} {
		m.arrives(t, v, callbacks[i])
	}
}

// arrives has somebody whose callback waited for the store load it until it is
// through. If a try after the restart took the state and could not finish, the
// next one says that this sign-in is over, and one begun anew is through.
func (m *midway) arrives(t *testing.T, v *visitor, callback string) {
	t.Helper()
	before := m.issuer.Calls("token")
	tries, anew := 0, false
	within(t, time.Minute, "a sign-in of before the restart is through", func() bool {
		tries++
		if anew {
			reply, err := v.signsIn(m.issuer, hostile.Person(nil))
			return err == nil && reply.StatusCode == http.StatusOK
		}
		reply, err := v.get(callback)
		if err != nil || clearPage(reply) {
			return false
		}
		anew = tries > 1 && reply.StatusCode == http.StatusBadRequest && strings.Contains(reply.Text, `class="id"`)
		if !anew && reply.StatusCode != http.StatusSeeOther {
			t.Fatalf("after the restart the callback got\n%s", describe(reply))
		}
		return !anew
	})
	if n := m.issuer.Calls("token") - before; !anew && n != 1 {
		t.Errorf("the code was redeemed %d times", n)
	}
	within(t, time.Minute, "the portal is open after it", func() bool {
		reply, err := v.get(m.Origin("portal") + "/")
		return err == nil && reply.StatusCode == http.StatusOK
	})
}

func describe(r *kit.Reply) string {
	if r == nil {
		return "no reply"
	}
	return fmt.Sprintf("%s to %q\n%.1500s", r.Status, r.Header.Get("Location"), r.Text)
}

// underLoad: with many on their way at once, each arrives or is told, and the
// next try arrives.
func (m *midway) underLoad(t *testing.T, store restarted) {
	ctx, cancel := context.WithCancel(t.Context())
	x := &traffic{end: cancel}
	t.Cleanup(x.stop)
	var arrived, refused atomic.Int64
	for range 6 {
		x.all.Go(func() {
			for v := newVisitor(t, m.Edge, m.client); ctx.Err() == nil; {
				reply, err := v.signsIn(m.issuer, hostile.Person(nil))
				switch {
				case err != nil:
					x.note(err.Error())
				case reply.StatusCode == http.StatusOK:
					arrived.Add(1)
					v = newVisitor(t, m.Edge, m.client)
				case saidSo(reply): // and the same browser tries again
					refused.Add(1)
				default:
					x.note(describe(reply))
				}
			}
		})
	}
	more := func(c *atomic.Int64, n int64, what string) {
		goal := c.Load() + n
		within(t, time.Minute, what, func() bool { return c.Load() >= goal })
	}
	more(&arrived, 20, "people sign in")
	for range 2 {
		if err := store.end(); err != nil {
			t.Fatal(err)
		}
		more(&refused, 10, "people are told that the store is away")
		if err := store.begin(); err != nil {
			t.Fatal(err)
		}
		more(&arrived, 20, "people sign in again")
	}
	x.stop()
	if len(x.wrong) > 0 {
		t.Errorf("%d sign-ins ended oddly, the first: %s", len(x.wrong), x.wrong[0])
	}
	t.Logf("%d arrived, %d were told", arrived.Load(), refused.Load())
}

// saidSo reports whether a sign-in that did not arrive ended with a reply that may
// be given: a page, or, of Envoy for a gate that waits for its store, nothing
// but 503.
func saidSo(r *kit.Reply) bool {
	return clearPage(r) || r.StatusCode == http.StatusServiceUnavailable && r.Header.Get("Location") == ""
}
