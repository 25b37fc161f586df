package config_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/neosc/gate/cmd/gate/internal/config"
)

const listenTLS = "tls: {cert: c.pem, key: k.pem, client_ca: ca.pem, client_name: 'envoy.edge.svc, spiffe://edge/envoy'}"

func TestTCPListenersNeedCertificatesOnBothSides(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ listen, more, want string }{
		"Good":           {"authz: 'tcp://0.0.0.0:9443', http: 'tcp://[::]:8443', " + listenTLS, "", ""},
		"NoTLS":          {"authz: 'tcp://0.0.0.0:9443'", "", "listen.tls.cert is empty, and TCP listeners need it"},
		"NoTLSLoopback":  {"authz: 'tcp://127.0.0.1:9443'", "", "listen.tls.cert is empty"},
		"NoTLSPages":     {"http: 'tcp://0.0.0.0:9443'", "", "listen.tls.cert is empty"},
		"NoTLSLeash":     {"leash: 'tcp://0.0.0.0:9443'", "", "listen.tls.cert is empty"},
		"NoTLSADS":       {"ads: 'tcp://0.0.0.0:9445'", "", "listen.tls.cert is empty, and TCP listeners need it"},
		"NoTLSADSHere":   {"ads: 'tcp://127.0.0.1:9445'", "", "listen.tls.cert is empty"},
		"ADSSocket":      {"ads: /run/ads.sock, " + listenTLS, "", "listen.ads is on TCP, as tcp://0.0.0.0:9445"},
		"ADSAndFiles":    {"ads: 'tcp://0.0.0.0:9445', " + listenTLS, "envoy: {files: /run/x}\n", "envoy.ads cannot be given with envoy.files"},
		"ADSSamePort":    {"authz: 'tcp://0.0.0.0:9443', ads: 'tcp://0.0.0.0:9443', " + listenTLS, "", "listen.ads has the port of listen.authz"},
		"NoClientCA":     {"authz: 'tcp://0.0.0.0:9443', tls: {cert: c, key: k, client_name: a.b}", "", "listen.tls.client_ca is empty"},
		"NoClientName":   {"authz: 'tcp://0.0.0.0:9443', tls: {cert: c, key: k, client_ca: a}", "", "listen.tls.client_name is empty"},
		"OnlyCommas":     {"authz: 'tcp://0.0.0.0:9443', tls: {cert: c, key: k, client_ca: a, client_name: ' , '}", "", "listen.tls.client_name names nobody"},
		"Wildcard":       {"authz: 'tcp://0.0.0.0:9443', tls: {cert: c, key: k, client_ca: a, client_name: '*.edge.svc'}", "", `"*.edge.svc" is no DNS name`},
		"SamePort":       {"authz: 'tcp://0.0.0.0:9443', http: 'tcp://127.0.0.1:9443', " + listenTLS, "", "listen.http has the port of listen.authz"},
		"NoPort":         {"authz: 'tcp://0.0.0.0', " + listenTLS, "", "is no address; write it as tcp://0.0.0.0:9443"},
		"AnyPort":        {"authz: 'tcp://0.0.0.0:0', " + listenTLS, "", "is no address"},
		"HostName":       {"authz: 'tcp://gate:9443', " + listenTLS, "", "is no address"},
		"OtherScheme":    {"authz: 'http://0.0.0.0:9443', " + listenTLS, "", `has the scheme "http"`},
		"Admin":          {"admin: 'tcp://127.0.0.1:9443'", "", "listen.admin is a Unix socket always"},
		"TLSForNothing":  {listenTLS, "", "listen.tls is for TCP listeners, and there are none"},
		"RedisPlain":     {"", "session: {store: redis, redis: 'redis://h', redis_tls: {ca: a}}\n", "session.redis_tls is for rediss:// URLs"},
		"RedisHalf":      {"", "limits: {redis_tls: {cert: a}}\n", "limits.redis_tls cert and key go together"},
		"RedisWrongName": {"", "limits: {redis_tls: {name: 'a b'}}\n", "limits.redis_tls.name"},
	} {
		_, err := config.Parse("gate.yaml", []byte(least+"listen: {"+c.listen+"}\n"+c.more), nil)
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: error %v, want %q", name, err, c.want)
		}
	}
}

func TestEnvironmentOfTheManifestGivesTCPListeners(t *testing.T) {
	t.Parallel()
	c, err := config.Parse("/etc/gate/gate.yaml", []byte(least), []string{
		"GATE_LISTEN_AUTHZ=tcp://0.0.0.0:9443", "GATE_LISTEN_HTTP=tcp://0.0.0.0:8443", "GATE_LISTEN_TLS_CERT=/t/tls.crt",
		"GATE_LISTEN_TLS_KEY=/t/tls.key", "GATE_LISTEN_TLS_CLIENT_CA=/t/ca.crt", "GATE_LISTEN_TLS_CLIENT_NAME=envoy.neosc-edge.svc",
	})
	if err != nil {
		t.Fatal(err)
	}
	if a, tcp := config.TCP(c.Listen.Authz); !tcp || a != "0.0.0.0:9443" || c.Listen.Leash != "/etc/gate/run/leash.sock" || !slices.Equal(c.Listen.TLS.ClientNames(), []string{"envoy.neosc-edge.svc"}) {
		t.Errorf("got %+v", c.Listen)
	}
	if _, err := c.Reach(); err == nil || !strings.Contains(err.Error(), "envoy.authz is empty, and listen.authz is tcp://0.0.0.0:9443") {
		t.Errorf("nobody says where Envoy finds the gate: %v", err)
	}
}

func TestEnvoyReachesTheGateWhereItIsToldTo(t *testing.T) {
	t.Parallel()
	const tls = "tls: {cert: /e/c.pem, key: /e/k.pem, ca: /e/ca.pem, name: gate.edge.svc}"
	const both = "listen: {authz: 'tcp://0.0.0.0:9443', http: 'tcp://0.0.0.0:8443', leash: 'tcp://0.0.0.0:9444', " + listenTLS + "}\n"
	const here = "listen: {authz: 'tcp://127.0.0.1:9443', " + listenTLS + "}\n"
	for name, c := range map[string]struct{ yaml, want string }{
		"Two":          {both + "envoy: {authz: 'a.svc:9443,b.svc:9443', http: 'a.svc:8443', leash: '[::1]:9444', " + tls + "}\n", ""},
		"ADS":          {both + "envoy: {authz: 'a.svc:9443', http: 'a.svc:8443', leash: 'a.svc:9444', ads: 'a.svc:9445', " + tls + "}\n", ""},
		"ADSOnly":      {"listen: {ads: 'tcp://127.0.0.1:9445', " + listenTLS + "}\nenvoy: {" + tls + "}\n", ""},
		"ADSNowhere":   {"listen: {ads: 'tcp://0.0.0.0:9445', " + listenTLS + "}\nenvoy: {" + tls + "}\n", "envoy.ads is empty, and listen.ads is tcp://0.0.0.0:9445"},
		"ADSNoTLS":     {"listen: {ads: 'tcp://127.0.0.1:9445', " + listenTLS + "}\n", "envoy.tls.cert is empty"},
		"ADSPath":      {"listen: {ads: 'tcp://127.0.0.1:9445', " + listenTLS + "}\nenvoy: {ads: /run/ads.sock, " + tls + "}\n", "is no HOST:PORT"},
		"Here":         {here + "envoy: {" + tls + "}\n", ""},
		"NoTLS":        {here, "envoy.tls.cert is empty, and Envoy reaches the gate over TCP"},
		"RelativePath": {here + "envoy: {tls: {cert: c.pem, key: /k, ca: /a, name: g.svc}}\n", "envoy.tls.cert must be an absolute path"},
		"NoName":       {here + "envoy: {tls: {cert: /c.pem, key: /k, ca: /a}}\n", "envoy.tls.name is empty"},
		"BadPort":      {both + "envoy: {authz: 'a.svc:x', http: 'a.svc:1', leash: 'a.svc:1', " + tls + "}\n", `"a.svc:x" has no port`},
		"NoLeash":      {"listen: {authz: 'tcp://10.0.0.1:9443', " + listenTLS + "}\nenvoy: {" + tls + "}\n", "streams would live on"},
	} {
		cfg, err := config.Parse("gate.yaml", []byte(least+c.yaml), nil)
		if err != nil {
			t.Fatal(name, err)
		}
		r, err := cfg.Reach()
		if c.want == "" && (err != nil || !r.Networked()) || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: %+v, error %v, want %q", name, r, err, c.want)
		}
	}
}
