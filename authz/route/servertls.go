package route

import (
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/neosc/gate/authz"
	"github.com/neosc/gate/authz/route/strictyaml"
)

// ServerTLS is a certificate that Envoy shows, and its key: PEM files by
// absolute paths, as Envoy sees them.
type ServerTLS struct{ Cert, Key string }

// ClientCertificates are what a host wants to see of those who connect to it.
type ClientCertificates struct {
	// CA vouches for them.
	CA string
	// CRL lists those that are revoked, or is "".
	CRL string
	// Required: nobody without one.
	Required bool
}

// Use is what the certificates are to the routes of the host; c may be nil.
func (c *ClientCertificates) Use() authz.CertificateUse {
	switch {
	case c == nil:
		return authz.CertificateIgnored
	case c.Required:
		return authz.CertificateRequired
	}
	return authz.CertificateOptional
}

func (c *ClientCertificates) list() string {
	if c == nil {
		return ""
	}
	return c.CRL
}

// RevocationLists are the files that name revoked client certificates, each once.
func (f *File) RevocationLists() []string {
	var lists []string
	for i := range f.hosts {
		if list := f.hosts[i].ClientCertificates.list(); list != "" && !slices.Contains(lists, list) {
			lists = append(lists, list)
		}
	}
	return lists
}

// HSTS is what answers of https origins say of how long browsers use nothing
// else (RFC 6797).
type HSTS struct {
	MaxAge            time.Duration
	IncludeSubdomains bool
}

const (
	defaultHSTS = 365 * 24 * time.Hour
	maxHSTS     = 10 * 365 * 24 * time.Hour
)

type serverTLSYAML struct {
	strictyaml.Where
	Cert string `yaml:"cert,required"`
	Key  string `yaml:"key,required"`
}

type clientCertificatesYAML struct {
	strictyaml.Where
	CA       string `yaml:"ca,required"`
	CRL      string `yaml:"crl"`
	Required bool   `yaml:"required"`
}

type hstsYAML struct {
	strictyaml.Where
	MaxAge            time.Duration `yaml:"max_age,required"`
	IncludeSubdomains bool          `yaml:"include_subdomains"`
}

// serverTLS reads what the file says for all hosts.
func (c *checker) serverTLS() {
	y, f := c.y, c.file
	f.tls = c.certificate(y.TLS)
	f.hsts = HSTS{MaxAge: defaultHSTS}
	if h := y.HSTS; h != nil {
		f.hsts = HSTS{MaxAge: h.MaxAge, IncludeSubdomains: h.IncludeSubdomains}
		if h.MaxAge < 0 || h.MaxAge > maxHSTS {
			c.report.Add(h.Where, "max_age", "hsts.max_age: %v is out of range; use 0s, which makes browsers forget, to %v", h.MaxAge, maxHSTS)
		}
	}
}

func (c *checker) certificate(y *serverTLSYAML) *ServerTLS {
	if y == nil {
		return nil
	}
	c.tlsFile(y.Where, "cert", y.Cert)
	c.tlsFile(y.Where, "key", y.Key)
	return &ServerTLS{Cert: y.Cert, Key: y.Key}
}

// hostTLS reads what a host says for itself.
func (c *checker) hostTLS(y *hostYAML, h *Host) {
	h.TLS = c.certificate(y.TLS)
	if y.TLS != nil && c.y.TLS == nil {
		c.report.Add(y.Where, "tls", "tls: the file has none for the other hosts; give it one at the top")
	}
	if y.TLS != nil && !strings.HasPrefix(y.Origin, "https://") {
		c.report.Add(y.Where, "tls", "tls: the origin %q is not https", clip(y.Origin))
	}
	cc := y.ClientCertificates
	if cc == nil {
		return
	}
	h.ClientCertificates = &ClientCertificates{CA: cc.CA, CRL: cc.CRL, Required: cc.Required}
	c.tlsFile(cc.Where, "ca", cc.CA)
	if cc.Has("crl") {
		c.tlsFile(cc.Where, "crl", cc.CRL)
	}
	if !strings.HasPrefix(y.Origin, "https://") {
		c.report.Add(y.Where, "client_certificates", "client_certificates: the origin %q is not https, so that nobody shows one", clip(y.Origin))
	}
	if y.Origin == c.y.Gate {
		c.report.Add(y.Where, "client_certificates", "client_certificates: sign-in is on this host, and must be reachable for everybody; take it out")
	}
	for i := range y.Routes {
		if r := &y.Routes[i]; cc.Required && r.Public {
			c.report.Add(r.Where, "public", "public: the host wants client certificates, which are judged with every request; nobody judges those of a public route")
		}
	}
}

func (c *checker) tlsFile(w strictyaml.Where, key, p string) {
	if !path.IsAbs(p) || path.Clean(p) != p || strings.ContainsRune(p, 0) {
		c.report.Add(w, key, "%s: %q must be an absolute path, as Envoy sees it", key, clip(p))
	}
}

// TLS is the certificate for hosts without their own; nil means that Envoy
// serves plain HTTP.
func (f *File) TLS() *ServerTLS { return f.tls }

// HSTS is what browsers are told where all origins are https.
func (f *File) HSTS() HSTS { return f.hsts }

// AsksForCertificates reports whether any host does.
func (f *File) AsksForCertificates() bool {
	for i := range f.hosts {
		if f.hosts[i].ClientCertificates != nil {
			return true
		}
	}
	return false
}

// transport is what of the file Envoy's listener is made from, besides what
// NeedsRestart compares one by one.
func (f *File) transport() string {
	var b strings.Builder
	line := func(parts ...string) { b.WriteString(strings.Join(parts, "\x00") + "\n") }
	pair := func(name string, t *ServerTLS) {
		if t != nil {
			line(name, t.Cert, t.Key)
		}
	}
	pair("", f.tls)
	for _, h := range f.hosts {
		pair(h.Name, h.TLS)
		if c := h.ClientCertificates; c != nil {
			line(h.Name, c.CA, c.CRL)
		}
	}
	line(f.HSTSHeader())
	return b.String()
}

// HSTSHeader is the value of Strict-Transport-Security, "" where an origin is
// not https.
func (f *File) HSTSHeader() string {
	for _, o := range f.origins {
		if !strings.HasPrefix(o, "https://") {
			return ""
		}
	}
	v := "max-age=" + strconv.FormatInt(int64(f.hsts.MaxAge/time.Second), 10)
	if f.hsts.IncludeSubdomains {
		v += "; includeSubDomains"
	}
	return v
}
