// Package tlsfiles makes TLS configurations from files: certificates are read
// again when their files change, without a restart, and the other side is
// known by a name in its certificate, not by its authority alone.
package tlsfiles

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync"
	"time"
)

// maxFile bounds a PEM file. A system's bundle of roots has 220 KiB.
const maxFile = 4 << 20

// Options name the files. They must not change.
type Options struct {
	// Cert and Key are a PEM chain, leaf first, and its key. Servers need them.
	Cert, Key string
	// CA are the PEM certificates of those who vouch for the other side.
	// Servers need them; clients that have none trust the system's.
	CA string
	// Names are pinned: the other side's certificate must have one of them, as
	// it stands here, as a DNS name or URI. Servers need at least one, since an
	// authority vouches for many.
	Names []string
	// Logger hears of files that cannot be taken; those before stay in use.
	Logger *slog.Logger
}

// files is what was read, and what the files looked like then.
type files struct {
	o  Options
	mu sync.Mutex
	// seen are the files of the last attempt, good or not.
	seen [3]stamp
	cert *tls.Certificate
	pool *x509.CertPool
	conf *tls.Config // of a server, for handshakes
}

// stamp tells a file from one that was written or renamed over it.
type stamp struct {
	mod  time.Time
	size int64
	info fs.FileInfo
}

func (s stamp) same(o stamp) bool {
	if s.info == nil || o.info == nil {
		return s.info == nil && o.info == nil
	}
	return s.size == o.size && s.mod.Equal(o.mod) && os.SameFile(s.info, o.info)
}

// Server returns a configuration for listeners: TLS 1.3, and nobody without a
// valid client certificate that has one of the names.
func Server(o Options) (*tls.Config, error) {
	if o.Cert == "" || o.Key == "" || o.CA == "" || len(o.Names) == 0 {
		return nil, errors.New("a server needs a certificate, its key, the authority of its clients and their names")
	}
	f := &files{o: o}
	if err := f.read(f.stamps()); err != nil {
		return nil, err
	}
	return &tls.Config{
		MinVersion: tls.VersionTLS13,
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
			f.mu.Lock()
			defer f.mu.Unlock()
			f.refresh()
			return f.conf, nil
		},
	}, nil
}

// Client returns a configuration for connections to a server. Its own
// certificate is read again when it changes; CA is read once. With one name
// that is the server's; with none it is the host that is dialled.
func Client(o Options) (*tls.Config, error) {
	if (o.Cert == "") != (o.Key == "") {
		return nil, errors.New("a certificate and its key go together; give both files or neither")
	}
	if len(o.Names) > 1 {
		return nil, errors.New("a server has one name")
	}
	f := &files{o: o}
	if err := f.read(f.stamps()); err != nil {
		return nil, err
	}
	c := &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: f.pool}
	if len(o.Names) == 1 {
		c.ServerName = o.Names[0]
	}
	if o.Cert != "" {
		c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			f.mu.Lock()
			defer f.mu.Unlock()
			f.refresh()
			return f.cert, nil
		}
	}
	return c, nil
}

func (f *files) stamps() (out [3]stamp) {
	for i, p := range []string{f.o.Cert, f.o.Key, f.o.CA} {
		if info, err := os.Stat(p); p != "" && err == nil {
			out[i] = stamp{info.ModTime(), info.Size(), info}
		}
	}
	return out
}

// refresh reads the files if they have changed. A handshake costs about a
// millisecond, asking after three files some microseconds.
func (f *files) refresh() {
	now := f.stamps()
	if slices.EqualFunc(now[:], f.seen[:], stamp.same) {
		return
	}
	if err := f.read(now); err != nil {
		f.o.Logger.Error("certificate files cannot be taken; those before stay in use", "error", err)
		return
	}
	f.o.Logger.Info("certificate files read again", "cert", f.o.Cert, "until", f.until())
}

func (f *files) until() time.Time {
	if f.cert == nil || f.cert.Leaf == nil {
		return time.Time{}
	}
	return f.cert.Leaf.NotAfter
}

// read takes all files or none. The stamps are from before the reading, so that
// a change in between is seen the next time.
func (f *files) read(at [3]stamp) error {
	f.seen = at
	var cert *tls.Certificate
	if f.o.Cert != "" {
		chain, err := bounded(f.o.Cert)
		if err != nil {
			return err
		}
		key, err := bounded(f.o.Key)
		if err != nil {
			return err
		}
		pair, err := tls.X509KeyPair(chain, key)
		if err != nil {
			return fmt.Errorf("%s and %s: %w", f.o.Cert, f.o.Key, err)
		}
		cert = &pair
	}
	var pool *x509.CertPool
	if f.o.CA != "" {
		data, err := bounded(f.o.CA)
		if err != nil {
			return err
		}
		if pool = x509.NewCertPool(); !pool.AppendCertsFromPEM(data) {
			return fmt.Errorf("%s holds no certificate in PEM", f.o.CA)
		}
	}
	f.cert, f.pool = cert, pool
	if cert != nil && pool != nil {
		f.conf = &tls.Config{
			MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{*cert}, NextProtos: []string{"h2", "http/1.1"},
			ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: pool, VerifyConnection: f.pinned,
			// A resumed session would go on with what was checked when it began.
			SessionTicketsDisabled: true,
		}
	}
	return nil
}

// errStranger is what one sees who has a certificate of the authority, and none
// of the names.
var errStranger = errors.New("the certificate has none of the names that may connect")

func (f *files) pinned(s tls.ConnectionState) error {
	if len(s.VerifiedChains) == 0 {
		return errStranger
	}
	leaf := s.PeerCertificates[0]
	for _, n := range f.o.Names {
		for _, d := range leaf.DNSNames {
			if strings.EqualFold(d, n) {
				return nil
			}
		}
		for _, u := range leaf.URIs {
			if u.String() == n {
				return nil
			}
		}
	}
	f.o.Logger.Warn("a caller's certificate has none of the names that may connect", "subject", leaf.Subject.CommonName, "dns", leaf.DNSNames)
	return errStranger
}

func bounded(path string) ([]byte, error) {
	r, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	b, err := io.ReadAll(io.LimitReader(r, maxFile+1))
	if err == nil && len(b) > maxFile {
		err = fmt.Errorf("%s is larger than %d MiB", path, maxFile>>20)
	}
	return b, err
}
