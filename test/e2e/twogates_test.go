package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/neosc/gate/test/kit"
	"github.com/neosc/gate/test/redistest"
)

// pairGate is the gate.yaml of one of two gates behind one Envoy: its own
// listeners, those of both, the authority's folder and Redis.
const pairGate = `listen:
  {authz: 'tcp://%[1]s', leash: 'tcp://%[2]s', http: 'tcp://%[3]s', admin: admin.sock, ops: "127.0.0.1:0",
   tls: {cert: %[7]s/gate.crt, key: %[7]s/gate.key, client_ca: %[7]s/ca.crt, client_name: envoy.edge.svc}}
envoy: {authz: '%[4]s', leash: '%[5]s', http: '%[6]s', tls: {cert: %[7]s/envoy.crt, key: %[7]s/envoy.key, ca: %[7]s/ca.crt, name: gate.edge.svc}}
cookie: {domain: .neosc.localhost, insecure: true}
session: {store: redis, redis: %[8]q}
policy: {path: %[9]s/policies}
log: {access: "off"}
`

// TestOneOfTwoGatesIsKilledAndNobodyNotices kills each of two gates behind one
// Envoy under load and starts it again: the other answers for both.
func TestOneOfTwoGatesIsKilledAndNobodyNotices(t *testing.T) {
	store, err := redistest.Socket()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	ca := kit.NewAuthority(t)
	ca.Issue(t, "gate", "-dns", "gate.edge.svc", "-server")
	ca.Issue(t, "envoy", "-dns", "envoy.edge.svc", "-client")
	var at [2][3]string
	for i := range at {
		for j := range at[i] {
			at[i][j] = fmt.Sprintf("127.0.0.1:%d", kit.FreePort(t))
		}
	}
	policies := t.TempDir()
	if err := kit.WritePolicies(policies + "/policies"); err != nil {
		t.Fatal(err)
	}
	config := func(i int) string {
		return fmt.Sprintf(pairGate, at[i][0], at[i][1], at[i][2], at[0][0]+","+at[1][0], at[0][1]+","+at[1][1], at[0][2]+","+at[1][2], ca.Dir, store.URL, policies)
	}
	e := kit.StartEdgeOf(t, kit.EdgeOptions{
		Routes: kit.EdgeRoutes(), GateYAML: config(0),
		Upstream: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "upstream") }),
	})
	gates := [2]*kit.Server{e.Serve(t)}
	other := &kit.Edge{Dir: t.TempDir(), Port: e.Port, Bin: e.Bin}
	if err := errors.Join(
		os.WriteFile(filepath.Join(other.Dir, "gate.yaml"), []byte(config(1)), 0o600),
		os.Symlink(filepath.Join(e.Dir, "routes.yaml"), filepath.Join(other.Dir, "routes.yaml")),
		os.Symlink(filepath.Join(e.Dir, "cookie-keys.yaml"), filepath.Join(other.Dir, "cookie-keys.yaml")),
	); err != nil {
		t.Fatal(err)
	}
	gates[1] = other.Serve(t)
	var made struct{ Cookie string }
	if err := json.Unmarshal([]byte(e.Run(t, "session", "create", "-email", "ana@kappa4.com", "-role", "user", "-json")), &made); err != nil {
		t.Fatal(err)
	}
	sharedSwitches(t, e, other)
	x := startTraffic(t, e.Impatient(t), 8, e.Origin("portal")+"/", made.Cookie)
	own := startTraffic(t, e.Impatient(t), 2, e.Origin("gate")+"/oauth2/sign_in", "")
	const rounds = 4
	for round := range rounds {
		x.more(t, 200)
		own.more(t, 20)
		gates[round%2].Signal(t, syscall.SIGKILL)
		x.more(t, 200)
		own.more(t, 20)
		gates[round%2].Gone(t)
		gates[round%2] = []*kit.Edge{e, other}[round%2].Serve(t)
	}
	x.more(t, 200)
	x.stop()
	own.stop()
	t.Logf("%d requests to the application, %d failed; %d to the gate's own pages, %d failed", x.asked.Load(), len(x.wrong), own.asked.Load(), len(own.wrong))
	if len(x.wrong) > 0 || x.late.Load() > x.mostLate() {
		t.Errorf("%d of %d requests to the application failed and %d waited too long: %s\n%s", len(x.wrong), x.asked.Load(), x.late.Load(), x.wrong, e.Troubles(t))
	}
	// A page that the killed gate was making is lost: it may have acted on it. A
	// process that is killed closes its sockets one after another, and only after
	// it has given back its memory: until then what comes next may meet another.
	if most := 2 * 2 * rounds; len(own.wrong) > most {
		t.Errorf("%d of %d requests to the gate's own pages failed, want at most the %d that were under way: %s", len(own.wrong), own.asked.Load(), most, strings.Join(own.wrong, "\n"))
	}
}
