package e2e

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/neosc/gate/session/sqlstore/pgtest"
	"github.com/neosc/gate/test/kit"
)

// startTLSRedis runs a Redis that speaks TLS alone, and only with clients that
// have a certificate of the authority.
func startTLSRedis(t *testing.T, ca *kit.Authority) (port int) {
	t.Helper()
	port = kit.FreePort(t)
	cmd := exec.Command("redis-server", "--port", "0", "--tls-port", fmt.Sprint(port), "--bind", "127.0.0.1", "--save", "", "--dir", t.TempDir(),
		"--tls-cert-file", ca.File("redis.crt"), "--tls-key-file", ca.File("redis.key"), "--tls-ca-cert-file", ca.File("ca.crt"), "--tls-auth-clients", "yes")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	within(t, 20*time.Second, "Redis listens", func() bool {
		c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err == nil {
			_ = c.Close()
		}
		return err == nil
	})
	return port
}

func TestTheGateAndRedisKnowEachOther(t *testing.T) {
	t.Parallel()
	ca, foreign := kit.NewAuthority(t), kit.NewAuthority(t)
	ca.Issue(t, "redis", "-dns", "redis.edge.svc", "-server")
	ca.Issue(t, "gate", "-dns", "gate.edge.svc", "-client")
	foreign.Issue(t, "gate", "-dns", "gate.edge.svc", "-client")
	port := startTLSRedis(t, ca)
	for name, c := range map[string]struct {
		tls   string
		ready bool
	}{
		"Both":           {fmt.Sprintf("{ca: %[1]s/ca.crt, cert: %[1]s/gate.crt, key: %[1]s/gate.key, name: redis.edge.svc}", ca.Dir), true},
		"OtherName":      {fmt.Sprintf("{ca: %[1]s/ca.crt, cert: %[1]s/gate.crt, key: %[1]s/gate.key, name: db.edge.svc}", ca.Dir), false},
		"ByAddress":      {fmt.Sprintf("{ca: %[1]s/ca.crt, cert: %[1]s/gate.crt, key: %[1]s/gate.key}", ca.Dir), false},
		"NoCertificate":  {fmt.Sprintf("{ca: %[1]s/ca.crt, name: redis.edge.svc}", ca.Dir), false},
		"ForeignClient":  {fmt.Sprintf("{ca: %[1]s/ca.crt, cert: %[2]s/gate.crt, key: %[2]s/gate.key, name: redis.edge.svc}", ca.Dir, foreign.Dir), false},
		"OtherAuthority": {fmt.Sprintf("{ca: %[2]s/ca.crt, cert: %[1]s/gate.crt, key: %[1]s/gate.key, name: redis.edge.svc}", ca.Dir, foreign.Dir), false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := kit.StartEdge(t)
			e.Configure(t, fmt.Sprintf("session: {store: redis, redis: 'rediss://127.0.0.1:%[1]d', redis_tls: %[2]s}\nlimits: {store: redis, redis: 'rediss://127.0.0.1:%[1]d', redis_tls: %[2]s}\n", port, c.tls))
			gate := e.Serve(t)
			store, limits := false, ""
			look := func() bool {
				_, r := kit.Readyz(t, gate.Ops)
				store, _ = r.Part("session store")
				_, limits = r.Part("limits")
				return c.ready == (store && limits == "")
			}
			within(t, 30*time.Second, fmt.Sprintf("the store is ready: %v", c.ready), look)
			if !c.ready && store {
				t.Error("the session store is ready")
			}
		})
	}
}

// startTLSPostgres runs a Postgres that lets nobody in without a certificate
// whose name is the user's.
func startTLSPostgres(t *testing.T, ca *kit.Authority) (port int) {
	t.Helper()
	dir, err := os.MkdirTemp("", "pgtls") // one that the user postgres can enter
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	copyTo := func(name string, data []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		forPostgres(t, path)
		return path
	}
	read := func(name string) []byte {
		data, err := os.ReadFile(ca.File(name))
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	forPostgres(t, dir)
	port = kit.FreePort(t)
	s, err := pgtest.New("listen_addresses=127.0.0.1", fmt.Sprintf("port=%d", port), "ssl=on", "fsync=off",
		"ssl_cert_file="+copyTo("server.crt", read("postgres.crt")), "ssl_key_file="+copyTo("server.key", read("postgres.key")), "ssl_ca_file="+copyTo("ca.crt", read("ca.crt")),
		"hba_file="+copyTo("hba.conf", []byte("hostssl all all 127.0.0.1/32 cert\n")))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return port
}

// forPostgres gives a file to the user that the server runs as, if this is root.
func forPostgres(t *testing.T, path string) {
	t.Helper()
	if os.Getuid() != 0 {
		return
	}
	u, err := user.Lookup("postgres")
	if err != nil {
		t.Fatal(err)
	}
	uid, _ := strconv.Atoi(u.Uid)
	gid, _ := strconv.Atoi(u.Gid)
	if err := os.Chown(path, uid, gid); err != nil {
		t.Fatal(err)
	}
}

func TestTheGateAndPostgresKnowEachOther(t *testing.T) {
	t.Parallel()
	ca, foreign := kit.NewAuthority(t), kit.NewAuthority(t)
	ca.Issue(t, "postgres", "-dns", "localhost", "-server") // its own, and the user's name
	ca.Issue(t, "gate", "-dns", "gate.edge.svc", "-client")
	port := startTLSPostgres(t, ca)
	url := func(host, mode string, root *kit.Authority, client string) string {
		u := fmt.Sprintf("postgres://postgres@%s:%d/postgres?sslmode=%s&sslrootcert=%s", host, port, mode, root.File("ca.crt"))
		if client != "" {
			u += fmt.Sprintf("&sslcert=%s&sslkey=%s", ca.File(client+".crt"), ca.File(client+".key"))
		}
		return "session: {store: postgres, postgres: '" + u + "'}\n"
	}
	e := kit.StartEdge(t)
	for name, settings := range map[string]string{
		"NoCertificate":   url("localhost", "verify-full", ca, ""),
		"OtherUser":       url("localhost", "verify-full", ca, "gate"),
		"OtherAuthority":  url("localhost", "verify-full", foreign, "postgres"),
		"OtherServerName": url("127.0.0.1", "verify-full", ca, "postgres"),
		"Plain":           url("localhost", "disable", ca, ""),
	} {
		e.Configure(t, settings)
		if out := e.Refused(t, "serve"); out == "" {
			t.Errorf("%s: refused without a word", name)
		}
	}
	ca.Issue(t, "postgres", "-dns", "localhost", "-client") // who the gate is to it
	e.Configure(t, url("localhost", "verify-full", ca, "postgres"))
	gate := e.Serve(t)
	if status, r := kit.Readyz(t, gate.Ops); status != 200 {
		t.Errorf("the gate is not ready with Postgres over TLS: %+v", r)
	}
}
