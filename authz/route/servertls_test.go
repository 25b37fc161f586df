package route_test

import (
	"strings"
	"testing"

	"github.com/neosc/gate/authz"
	"github.com/neosc/gate/authz/route"
)

// withTLS is a file with further keys at the top, and at its application's host.
func withTLS(top, host, more string) string {
	return "gate: https://gate.test\n" + top + "upstreams: {app: '127.0.0.1:1'}\nhosts:\n- origin: https://app.test\n" + host +
		"  routes: [{name: app, prefix: /, upstream: app" + more + "}]\n- origin: https://gate.test\n  routes: [{name: gate, prefix: /, upstream: gate}]\n"
}

func TestTLSOfTheFile(t *testing.T) {
	t.Parallel()
	const top = "tls: {cert: /c, key: /k}\n"
	for name, c := range map[string]struct{ yaml, want string }{
		"Good":           {withTLS(top+"hsts: {max_age: 1h}\n", "  tls: {cert: /c2, key: /k2}\n  client_certificates: {ca: /ca, crl: /crl, required: true}\n", ""), ""},
		"Relative":       {withTLS("tls: {cert: c, key: /k}\n", "", ""), "cert: \"c\" must be an absolute path"},
		"NoKey":          {withTLS("tls: {cert: /c}\n", "", ""), "key"},
		"HostAlone":      {withTLS("", "  tls: {cert: /c2, key: /k2}\n", ""), "the file has none for the other hosts"},
		"RelativeCA":     {withTLS(top, "  client_certificates: {ca: ca}\n", ""), "ca: \"ca\" must be an absolute path"},
		"EmptyCRL":       {withTLS(top, "  client_certificates: {ca: /ca, crl: ''}\n", ""), "crl: \"\" must be an absolute path"},
		"PublicRequired": {withTLS(top, "  client_certificates: {ca: /ca, required: true}\n", ", public: true"), "nobody judges those of a public route"},
		"NotTLS":         {strings.Replace(withTLS("", "  client_certificates: {ca: /ca}\n", ""), "https://app", "http://app", 1), "is not https, so that nobody shows one"},
		"NegativeHSTS":   {withTLS(top+"hsts: {max_age: -1h}\n", "", ""), "hsts.max_age"},
	} {
		f, err := route.Parse("routes.yaml", []byte(c.yaml))
		if c.want != "" {
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%s: error %v, want %q", name, err, c.want)
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		if f.Route("app").ClientCertificate != authz.CertificateRequired || f.Route("gate").ClientCertificate != authz.CertificateIgnored || f.HSTSHeader() != "max-age=3600" || !f.AsksForCertificates() {
			t.Errorf("got %+v, %q", f.Route("app"), f.HSTSHeader())
		}
		other, err := route.Parse("routes.yaml", []byte(strings.Replace(c.yaml, "/crl", "/crl2", 1)))
		if err != nil || len(f.NeedsRestart(other)) == 0 || f.ListenerRevision() == other.ListenerRevision() {
			t.Errorf("another list of the revoked needs no new listener (%v)", err)
		}
	}
}
