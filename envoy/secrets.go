package envoy

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/neosc/gate/authz/route"
)

// Envoy reads certificates that its configuration names just once. Those that a
// file of its own names (SDS) it reads again when they change: without a restart,
// and without a lost connection. With Options.Secrets there is such a file for
// each, which names the certificate's files and so never changes itself.

// secretPrefix begins the names of those files.
const secretPrefix = "tls-"

// keyPair puts a certificate with its key into common.
func (b *builder) keyPair(common *tlsv3.CommonTlsContext, name, cert, key string) {
	pair := &tlsv3.TlsCertificate{CertificateChain: pem(cert), PrivateKey: pem(key)}
	if b.Secrets == "" {
		common.TlsCertificates = []*tlsv3.TlsCertificate{pair}
		return
	}
	pair.WatchedDirectory = &corev3.WatchedDirectory{Path: path.Dir(cert)}
	common.TlsCertificateSdsSecretConfigs = []*tlsv3.SdsSecretConfig{
		b.secret(&tlsv3.Secret{Name: secretPrefix + name, Type: &tlsv3.Secret_TlsCertificate{TlsCertificate: pair}}),
	}
}

// peers are whom the other side may be.
type peers struct {
	ca, crl string
	sans    []string // none: anybody whom ca vouches for
}

// verify has common check the other side's certificate.
func (b *builder) verify(common *tlsv3.CommonTlsContext, name string, p peers) {
	files := &tlsv3.CertificateValidationContext{TrustedCa: pem(p.ca)}
	if p.crl != "" {
		files.Crl = pem(p.crl)
		// The list is the authority's that issued the leaf; those above it have none.
		files.OnlyVerifyLeafCertCrl = true
	}
	names := &tlsv3.CertificateValidationContext{MatchTypedSubjectAltNames: sanMatchers(p.sans)}
	if b.Secrets == "" {
		files.MatchTypedSubjectAltNames = names.MatchTypedSubjectAltNames
		common.ValidationContextType = &tlsv3.CommonTlsContext_ValidationContext{ValidationContext: files}
		return
	}
	files.WatchedDirectory = &corev3.WatchedDirectory{Path: path.Dir(p.ca)}
	if p.crl != "" {
		files.WatchedDirectory.Path = path.Dir(p.crl)
	}
	common.ValidationContextType = &tlsv3.CommonTlsContext_CombinedValidationContext{CombinedValidationContext: &tlsv3.CommonTlsContext_CombinedCertificateValidationContext{
		DefaultValidationContext: names,
		ValidationContextSdsSecretConfig: b.secret(&tlsv3.Secret{
			Name: secretPrefix + name + "-ca", Type: &tlsv3.Secret_ValidationContext{ValidationContext: files},
		}),
	}}
}

// sanMatchers pin the names of certificates.
func sanMatchers(sans []string) []*tlsv3.SubjectAltNameMatcher {
	var list []*tlsv3.SubjectAltNameMatcher
	for _, s := range sans {
		kind := tlsv3.SubjectAltNameMatcher_DNS
		if _, err := netip.ParseAddr(s); err == nil {
			kind = tlsv3.SubjectAltNameMatcher_IP_ADDRESS
		} else if strings.Contains(s, "://") {
			kind = tlsv3.SubjectAltNameMatcher_URI
		}
		list = append(list, &tlsv3.SubjectAltNameMatcher{SanType: kind, Matcher: exactly(s)})
	}
	return list
}

func pem(path string) *corev3.DataSource {
	return &corev3.DataSource{Specifier: &corev3.DataSource_Filename{Filename: path}}
}

// secret notes a secret, whose file WriteSecrets writes, and says where it is.
func (b *builder) secret(s *tlsv3.Secret) *tlsv3.SdsSecretConfig {
	if !slices.ContainsFunc(b.secrets, func(o *tlsv3.Secret) bool { return o.Name == s.Name }) {
		b.secrets = append(b.secrets, s)
	}
	return &tlsv3.SdsSecretConfig{Name: s.Name, SdsConfig: &corev3.ConfigSource{
		ResourceApiVersion:    corev3.ApiVersion_V3,
		ConfigSourceSpecifier: &corev3.ConfigSource_PathConfigSource{PathConfigSource: &corev3.PathConfigSource{Path: filepath.Join(b.Secrets, s.Name+".json")}},
	}}
}

// WriteSecrets writes the files of Options.Secrets: the names of certificates'
// files, and nothing secret.
func WriteSecrets(o Options) error {
	if err := o.check(); err != nil {
		return err
	}
	if o.Secrets == "" {
		return nil
	}
	b := &builder{Options: o}
	b.ownClusters()
	if b.Discovers() {
		b.discoveryCluster()
	}
	b.clusters()
	b.listener()
	return b.writeSecrets()
}

func (b *builder) writeSecrets() error {
	if len(b.secrets) == 0 {
		return nil
	}
	if err := os.MkdirAll(b.Secrets, 0o750); err != nil {
		return fmt.Errorf("files that name certificates: %w", err)
	}
	f := &Files{o: Options{Files: b.Secrets}}
	var errs []error
	for _, s := range b.secrets {
		text, err := renderJSON(&discoveryv3.DiscoveryResponse{Resources: []*anypb.Any{b.any(s)}})
		name := s.Name + ".json"
		if err == nil {
			if old, rerr := os.ReadFile(filepath.Join(b.Secrets, name)); rerr == nil && bytes.Equal(old, text) {
				continue
			}
			err = f.replace(name, text)
		}
		errs = append(errs, err)
	}
	return errors.Join(append(errs, b.err)...)
}

// gateTLS is the transport to a gate over TCP.
func (b *builder) gateTLS() *corev3.TransportSocket {
	t := b.GateTLS
	common := &tlsv3.CommonTlsContext{
		TlsParams:     &tlsv3.TlsParameters{TlsMinimumProtocolVersion: tlsv3.TlsParameters_TLSv1_3, TlsMaximumProtocolVersion: tlsv3.TlsParameters_TLSv1_3},
		AlpnProtocols: []string{"h2"},
	}
	b.verify(common, "gate", peers{ca: t.CA, sans: t.SANs})
	b.keyPair(common, "gate", t.Cert, t.Key)
	return b.upstreamSocket(common, t.ServerName)
}

func (b *builder) upstreamSocket(common *tlsv3.CommonTlsContext, sni string) *corev3.TransportSocket {
	return &corev3.TransportSocket{Name: transportTLS, ConfigType: &corev3.TransportSocket_TypedConfig{
		TypedConfig: b.any(&tlsv3.UpstreamTlsContext{CommonTlsContext: common, Sni: sni}),
	}}
}

const transportTLS = "envoy.transport_sockets.tls"

// upstreamTLS pins whom the upstream must be: a CA vouches for many.
func (b *builder) upstreamTLS(u route.Upstream) *corev3.TransportSocket {
	common := &tlsv3.CommonTlsContext{TlsParams: &tlsv3.TlsParameters{TlsMinimumProtocolVersion: tlsv3.TlsParameters_TLSv1_2}}
	b.verify(common, "upstream-"+u.Name, peers{ca: u.TLS.CA, sans: u.TLS.SANs})
	if u.HTTP2 {
		common.AlpnProtocols = []string{"h2"}
	}
	if u.TLS.Cert != "" {
		b.keyPair(common, "upstream-"+u.Name, u.TLS.Cert, u.TLS.Key)
	}
	return b.upstreamSocket(common, u.TLS.ServerName)
}
