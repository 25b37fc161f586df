package streams

import (
	"fmt"
	"io"
	"net/http"
	"syscall"
	"testing"
	"time"

	"github.com/neosc/gate/test/kit"
)

// TestLiveStreamsEndWithTheirSession opens each kind of stream for two people
// and revokes one: that one's are cut, the other's go on.
func TestLiveStreamsEndWithTheirSession(t *testing.T) {
	t.Parallel()
	s := startStreams(t, "")
	for name, open := range openers {
		t.Run(name, func(t *testing.T) {
			before := s.cuts(t, "revoked")
			cookie, key := s.create(t, "staff")
			gone, status := open(t, s, "workspace", "", cookie)
			if gone == nil {
				t.Fatalf("answered %d", status)
			}
			stays, _ := open(t, s, "workspace", "", s.cookie)
			s.held(t, 2)
			s.Run(t, "session", "revoke", key)
			gone.ended(t, "the revoked session's stream")
			if !stays.open() {
				t.Error("another session's stream ended as well")
			}
			if n := s.cuts(t, "revoked") - before; n != 1 {
				t.Errorf("%v streams were cut, want 1", n)
			}
			if _, status := open(t, s, "workspace", "", cookie); status == http.StatusOK || status == http.StatusSwitchingProtocols {
				t.Errorf("a revoked session opens a new one: %d", status)
			}
			s.Run(t, "session", "revoke", s.key)
			stays.ended(t, "the other's stream")
			s.held(t, 0)
			s.cookie, s.key = s.create(t, "staff")
		})
	}
	t.Run("UpgradesOfRoutesWithATimeout", func(t *testing.T) {
		cookie, key := s.create(t, "staff")
		socket, _ := openSocket(t, s, "portal", "", cookie)
		c, _, _ := openRaw(t, s, "portal", "/events", cookie)
		s.held(t, 1) // the plain answer has the route's timeout instead
		_ = c.Close()
		s.Run(t, "session", "revoke", key)
		socket.ended(t, "the portal's socket")
	})
	t.Run("ShortAnswersWithTrailers", func(t *testing.T) {
		_, _, resp := openRaw(t, s, "workspace", "/short", s.cookie, "TE: trailers\r\n")
		b, err := io.ReadAll(resp.Body)
		if err != nil || string(b) != "short" || resp.StatusCode != http.StatusOK {
			t.Errorf("%d %q %v", resp.StatusCode, b, err)
		}
		s.held(t, 0)
	})
}

// TestStreamsEndWhenPolicyDeniesThem changes policy under open streams.
func TestStreamsEndWhenPolicyDeniesThem(t *testing.T) {
	t.Parallel()
	s := startStreams(t, "")
	socket, _ := openSocket(t, s, "workspace", "", s.cookie)
	events, _ := openPlain(t, s, "workspace", "/events", s.cookie)
	s.held(t, 2)
	s.writePolicy(t, "package neosc.authz\n\ndecision := {\"allowed\": startswith(input.attributes.request.http.path, \"/events\"), \"reasons\": [\"test\"]}\n")
	socket.ended(t, "the socket that the new policy denies")
	if !events.open() {
		t.Error("the stream that the new policy allows ended as well")
	}
	if n := s.cuts(t, "denied"); n != 1 {
		t.Errorf("%v streams were cut, want 1", n)
	}
}

// TestAThousandSocketsEndByOneRevoke also says how long it took.
func TestAThousandSocketsEndByOneRevoke(t *testing.T) {
	t.Parallel()
	s := startStreams(t, "")
	const sockets = 1000
	cookie, key := s.create(t, "staff")
	open := make([]*stream, sockets)
	for i := range open {
		if open[i], _ = openSocket(t, s, "workspace", "", cookie); open[i] == nil {
			t.Fatalf("socket %d does not open", i)
		}
	}
	s.held(t, sockets)
	began := time.Now()
	s.Run(t, "session", "revoke", key)
	last := began
	for i, x := range open {
		x.ended(t, fmt.Sprintf("socket %d", i))
		if x.at.After(last) {
			last = x.at
		}
	}
	t.Logf("%d sockets ended %v after the command began", sockets, last.Sub(began))
	s.held(t, 0)
	if n := s.cuts(t, "revoked"); n != sockets {
		t.Errorf("%v streams were cut, want %d", n, sockets)
	}
}

// TestSoakStreamsEndAtTheirInstant gives streams a second and a half, or in the
// soak a minute, as policy says. The bound of 20 ms is the bench's to hold; here
// the machine is busy.
func TestSoakStreamsEndAtTheirInstant(t *testing.T) {
	t.Parallel()
	s := startStreams(t, "")
	life := 1500 * time.Millisecond
	if *long {
		life = time.Minute
	}
	for name, open := range openers {
		t.Run(name, func(t *testing.T) {
			// A machine that stands still at that moment is asked again.
			for tries := time.Duration(1); ; tries++ {
				until := time.Now().Add(tries * life)
				x, status := open(t, s, "workspace", fmt.Sprintf("?until=%d", until.UnixNano()), s.cookie)
				if x == nil && tries < 4 && time.Now().After(until) {
					continue
				}
				if x == nil {
					t.Fatalf("answered %d", status)
				}
				x.ended(t, "the stream")
				late := x.at.Sub(until)
				if late < -time.Millisecond || late > time.Second && tries == 4 {
					t.Fatalf("it ended %v after its instant", late)
				}
				if late <= time.Second {
					return
				}
			}
		})
	}
	x, status := openSocket(t, s, "workspace", fmt.Sprintf("?until=%d", time.Now().Add(-time.Second).UnixNano()), s.cookie)
	if x != nil || status != http.StatusForbidden {
		t.Errorf("a stream whose time is over is answered %d", status)
	}
}

// TestAKilledGateLeavesNoStreamUnleashed kills the gate, which holds the
// leashes, and starts another.
func TestAKilledGateLeavesNoStreamUnleashed(t *testing.T) {
	t.Parallel()
	s := startStreams(t, "")
	streams := map[string]*stream{}
	for name, open := range openers {
		streams[name], _ = open(t, s, "workspace", "", s.cookie)
	}
	s.held(t, float64(len(openers)))
	s.gate.Signal(t, syscall.SIGKILL)
	for name, x := range streams {
		x.ended(t, name)
	}
	if _, status := openSocket(t, s, "workspace", "", s.cookie); status != http.StatusServiceUnavailable {
		t.Errorf("without a gate a socket is answered %d, want 503", status)
	}
	s.gate.Gone(t)
	s.gate = s.Serve(t)
	again, _ := openSocket(t, s, "workspace", "", s.cookie)
	s.held(t, 1)
	s.Run(t, "session", "revoke", s.key)
	again.ended(t, "the socket at the new gate")
}

// TestAGateThatHangsLeavesNoStreamUnleashed: it answers nothing and its sockets
// stay open, as with a machine that is gone without a word. Meanwhile a session
// could end and nobody would cut its streams.
func TestAGateThatHangsLeavesNoStreamUnleashed(t *testing.T) {
	t.Parallel()
	s := startStreams(t, "")
	streams := map[string]*stream{}
	for name, open := range openers {
		streams[name], _ = open(t, s, "workspace", "", s.cookie)
	}
	s.held(t, float64(len(openers)))
	s.gate.Signal(t, syscall.SIGSTOP)
	hung := time.Now()
	for name, x := range streams {
		x.ended(t, name)
		t.Logf("%s ended %v after the gate hung", name, x.at.Sub(hung))
	}
	s.gate.Signal(t, syscall.SIGCONT)
	s.held(t, 0)
	again, status := openSocket(t, s, "workspace", "", s.cookie)
	if again == nil {
		t.Fatalf("once the gate goes on a socket is answered %d", status)
	}
	s.held(t, 1)
}

// TestASuccessorLeavesNoStreamUnleashed: while a gate drains for another it still
// holds its streams, and hears of sessions that end at the other.
func TestASuccessorLeavesNoStreamUnleashed(t *testing.T) {
	t.Parallel()
	s := startStreams(t, "")
	other, key := s.create(t, "staff")
	revoked, _ := openSocket(t, s, "workspace", "", other)
	stays, _ := openSocket(t, s, "workspace", "", s.cookie)
	s.held(t, 2)
	before := s.gate
	s.gate = s.Serve(t, "-replace")
	s.Run(t, "session", "revoke", key)
	fresh, status := openSocket(t, s, "workspace", "", s.cookie)
	if fresh == nil {
		t.Fatalf("the successor answers a socket with %d", status)
	}
	revoked.ended(t, "the stream of a session that was revoked at the successor")
	before.Ended(t)
	stays.ended(t, "a stream of the gate that is gone")
	s.held(t, 1)
	if !fresh.open() {
		t.Error("the successor's stream ended with its predecessor")
	}
	s.Run(t, "session", "revoke", s.key)
	fresh.ended(t, "the successor's stream")
}

// TestAGateThatStopsLetsGo: short answers end by themselves, the rest is cut.
func TestAGateThatStopsLetsGo(t *testing.T) {
	t.Parallel()
	s := startStreams(t, "")
	socket, _ := openSocket(t, s, "workspace", "", s.cookie)
	s.held(t, 1)
	s.gate.Terminate(t)
	socket.ended(t, "the socket")
}

// TestStreamsOfRoutesThatCameLaterAreJudged: a route that the gate did not have at
// its start, in an Envoy that watches files, while policy changes.
func TestStreamsOfRoutesThatCameLaterAreJudged(t *testing.T) {
	t.Parallel()
	s := &streamStage{Edge: kit.StartEdgeOf(t, kit.EdgeOptions{
		Routes: streamRoutes, Upstream: http.HandlerFunc(streamUpstream), Watched: true,
		GateYAML: `listen: {authz: a.sock, http: h.sock, admin: admin.sock, ops: "127.0.0.1:0"}
cookie: {domain: .neosc.localhost, insecure: true}
envoy: {files: xds, admin: e.sock}
policy: {path: policy}
log: {access: access.log}
`,
	})}
	s.writePolicy(t, streamPolicy)
	s.gate = s.Serve(t)
	s.cookie, s.key = s.create(t, "staff")
	const before = "  - {name: workspace, prefix: /, upstream: app, timeout: 0s, upgrades: [websocket]}\n"
	s.Change(t, before, before+"  - {name: later, prefix: /events, upstream: app, timeout: 0s}\n")
	for end := time.Now().Add(time.Minute); kit.Value(kit.Metrics(t, s.gate.Ops)["pomerium_routes_reload_total"], "outcome", "applied") == 0; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the new route is not taken")
		}
	}
	later, status := openPlain(t, s, "workspace", "/events", s.cookie)
	if later == nil {
		t.Fatalf("the new route answers %d", status)
	}
	socket, _ := openSocket(t, s, "workspace", "", s.cookie)
	s.held(t, 2)
	s.writePolicy(t, "package neosc.authz\n\ndecision := {\"allowed\": input.route.name == \"later\", \"reasons\": [\"test\"]}\n")
	socket.ended(t, "the socket that the new policy denies")
	s.Run(t, "session", "revoke", s.key)
	later.ended(t, "the later route's stream")
	if denied, revoked := s.cuts(t, "denied"), s.cuts(t, "revoked"); denied != 1 || revoked != 1 {
		t.Errorf("%v streams were denied and %v revoked, want one each", denied, revoked)
	}
}
