package envoy_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"flag"
	"fmt"
	"math/big"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"text/template"
	"time"

	"github.com/neosc/gate/authz/route"
	"github.com/neosc/gate/envoy"
)

var update = flag.Bool("update", false, "write the golden files anew")

// demoRoutes fills in the demo's template as gate dev does.
func demoRoutes(t *testing.T) []byte {
	t.Helper()
	tmpl, err := template.ParseFiles("../cmd/gate/internal/dev/routes.yaml.tmpl")
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	err = tmpl.Option("missingkey=error").Execute(&out, map[string]any{
		"Scheme": "http", "Cert": "", "Key": "",
		"Port": 8080, "Listen": "127.0.0.1:8080", "Frontend": "unix:/run/gate/frontend.sock", "Backend": "127.0.0.1:8001", "KasmProxy": "127.0.0.1:6900",
	})
	if err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func options(f *route.File) envoy.Options {
	return envoy.Options{Routes: f, AuthzSocket: "/run/gate/authz.sock", GateSocket: "/run/gate/http.sock", AdminSocket: "/run/gate/envoy-admin.sock"}
}

func render(t *testing.T, o envoy.Options) []byte {
	t.Helper()
	b, err := envoy.Bootstrap(o)
	if err != nil {
		t.Fatal(err)
	}
	out, err := envoy.RenderYAML(b)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// Both examples give the files in testdata, and Envoy accepts them. Run with
// -update after a wanted change and read the difference.
func TestExamplesRenderAndValidate(t *testing.T) {
	t.Parallel()
	production, err := os.ReadFile("../deploy/production/routes.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string][]byte{"production": production, "demo": demoRoutes(t)} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f, err := route.Parse(name, data)
			if err != nil {
				t.Fatal(err)
			}
			got := render(t, options(f))
			golden := filepath.Join("testdata", name+".yaml")
			if *update {
				if err := os.WriteFile(golden, got, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got, want) {
				t.Errorf("the rendered bootstrap is not %s; run go test ./envoy -update and read the difference", golden)
			}
			if again := render(t, options(f)); !bytes.Equal(got, again) {
				t.Error("rendering twice gives different bytes")
			}
			if err := envoy.Validate(t.Context(), envoyBinary(t), got); err != nil {
				t.Error(err)
			}
		})
	}
}

// The estimate of RE2's program size must never be below what Envoy counts: a
// list that just passes our check must load.
func TestLongestHeaderListStillLoads(t *testing.T) {
	t.Parallel()
	base := "gate: http://g.test\nlisten: 127.0.0.1:80\nupstreams: {u: 'u:1'}\nhosts: [{origin: http://g.test, routes: [{name: gate, prefix: /, upstream: gate}]}]\nset_headers:\n"
	var last *route.File
	list := base
	for i := 0; ; i++ {
		list += "- x-tenant-" + strings.Repeat(string(rune('a'+i%26)), 3+i%7) + "-id\n- y-family-" + string(rune('a'+i%26)) + "-*\n"
		f, err := route.Parse("test", []byte(list))
		if err != nil {
			if !strings.Contains(err.Error(), "set_headers") || i < 5 {
				t.Fatalf("after %d headers: %v", i, err)
			}
			break
		}
		last = f
	}
	if err := envoy.Validate(t.Context(), envoyBinary(t), render(t, options(last))); err != nil {
		t.Error(err)
	}
}

func TestValidateGivesOneClearLine(t *testing.T) {
	t.Parallel()
	for _, broken := range []string{"foo: 1\n", "admin: [", "static_resources: {clusters: [{name: a, connect_timeout: -1s}]}\n"} {
		err := envoy.Validate(t.Context(), envoyBinary(t), []byte(broken))
		if err == nil || strings.Contains(err.Error(), "\n") || strings.Contains(err.Error(), os.TempDir()) || len(err.Error()) < 40 {
			t.Errorf("%q gave %v", broken, err)
		}
	}
	if err := envoy.Validate(t.Context(), "/nowhere/envoy", nil); err == nil || !strings.Contains(err.Error(), "/nowhere/envoy") {
		t.Errorf("a missing binary gave %v", err)
	}
}

func TestBootstrapRefusesUnsafeOptions(t *testing.T) {
	t.Parallel()
	f, err := route.Parse("demo", demoRoutes(t))
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		change func(*envoy.Options)
		want   string
	}{
		"NoRoutes":        {func(o *envoy.Options) { o.Routes = nil }, "routes"},
		"LongSocket":      {func(o *envoy.Options) { o.AuthzSocket = "/" + strings.Repeat("a", 107) }, "107"},
		"NoSockets":       {func(o *envoy.Options) { o.GateSocket = "" }, "missing"},
		"NoAdmin":         {func(o *envoy.Options) { o.AdminSocket = "" }, "admin"},
		"OpenAdmin":       {func(o *envoy.Options) { o.AdminSocket, o.AdminListen = "", netip.MustParseAddrPort("0.0.0.0:9901") }, "open to others"},
		"CertWithoutKey":  {func(o *envoy.Options) { o.TLSCert = "cert.pem" }, "together"},
		"KeyWithoutACert": {func(o *envoy.Options) { o.TLSKey = "key.pem" }, "together"},
	} {
		o := options(f)
		c.change(&o)
		if _, err := envoy.Bootstrap(o); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s gave %v, want it to speak of %q", name, err, c.want)
		}
	}
}

// The demo is the production sample with other names: what works in the one
// works in the other. Only the hours are left off.
func TestDemoMirrorsProduction(t *testing.T) {
	t.Parallel()
	production, err := route.Load("../deploy/production/routes.yaml")
	if err != nil {
		t.Fatal(err)
	}
	demo, err := route.Parse("demo", demoRoutes(t))
	if err != nil {
		t.Fatal(err)
	}
	shape := func(f *route.File) (lines []string) {
		for _, h := range f.Hosts() {
			for _, e := range h.Entries {
				lines = append(lines, fmt.Sprint(strings.TrimSuffix(strings.TrimSuffix(h.Name, ".kappa4.com"), ".neosc.localhost"), e.Match, e.Route.Name,
					e.Upstream, e.Timeout, e.IdleTimeout, e.Upgrades, e.Route.PassIdentityHeaders, e.Route.PassAuthorization, len(e.Route.AllowedOrigins), h.CORS != nil))
			}
		}
		return lines
	}
	if p, d := shape(production), shape(demo); !slices.Equal(p, d) {
		t.Errorf("production is\n%s\nthe demo\n%s", strings.Join(p, "\n"), strings.Join(d, "\n"))
	}
	if demo.Route("portal").Policy["business_hours"] != false {
		t.Error("the demo keeps office hours")
	}
}

func TestTLSListenerValidates(t *testing.T) {
	t.Parallel()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	leaf := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"portal.kappa4.com"}, NotAfter: time.Now().Add(time.Hour)}
	cert, err := x509.CreateCertificate(rand.Reader, leaf, leaf, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	write := func(name, kind string, der []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	f, err := route.Load("../deploy/production/routes.yaml")
	if err != nil {
		t.Fatal(err)
	}
	o := options(f)
	o.TLSCert, o.TLSKey = write("cert.pem", "CERTIFICATE", cert), write("key.pem", "PRIVATE KEY", der)
	if err := envoy.Validate(t.Context(), envoyBinary(t), render(t, o)); err != nil {
		t.Error(err)
	}
	o.TLSKey = filepath.Join(dir, "nowhere.pem")
	if err := envoy.Validate(t.Context(), envoyBinary(t), render(t, o)); err == nil || !strings.Contains(err.Error(), "nowhere.pem") {
		t.Errorf("a missing key gave %v", err)
	}
}
