package tlsfiles_test

import (
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/neosc/gate/cmd/gate/internal/pki"
	"github.com/neosc/gate/cmd/gate/internal/tlsfiles"
)

var quiet = slog.New(slog.DiscardHandler)

// authority has a server's and a client's certificate in its folder.
func authority(t *testing.T, clients ...string) (string, *pki.CA) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "pki")
	ca, err := pki.Create(pki.CAOptions{Dir: dir, Name: "ca", Now: time.Now()})
	if err != nil {
		t.Fatal(err)
	}
	issue(t, ca, "gate.svc")
	for _, n := range clients {
		issue(t, ca, n)
	}
	return dir, ca
}

func issue(t *testing.T, ca *pki.CA, name string) {
	t.Helper()
	if _, err := ca.Issue(pki.Leaf{Name: name, Lifetime: time.Hour, Force: true, Now: time.Now()}); err != nil {
		t.Fatal(err)
	}
}

func options(dir, name string, names ...string) tlsfiles.Options {
	return tlsfiles.Options{Cert: filepath.Join(dir, name+".crt"), Key: filepath.Join(dir, name+".key"), CA: filepath.Join(dir, "ca.crt"), Names: names, Logger: quiet}
}

// meet has both sides shake hands and returns the server's serial, or why one of
// them would not.
func meet(server, client *tls.Config) (string, error) {
	a, b := net.Pipe()
	defer a.Close()
	defer b.Close()
	s, c := tls.Server(a, server), tls.Client(b, client)
	done := make(chan error, 1)
	go func() {
		err := s.Handshake()
		if err == nil {
			_, err = s.Write([]byte("."))
		}
		_ = a.Close()
		done <- err
	}()
	err := c.Handshake()
	if err == nil {
		_, err = io.ReadFull(c, make([]byte, 1))
	}
	_ = b.Close()
	if err = errors.Join(err, <-done); err != nil {
		return "", err
	}
	return c.ConnectionState().PeerCertificates[0].SerialNumber.String(), nil
}

func TestNamesArePinnedOnBothSides(t *testing.T) {
	t.Parallel()
	dir, _ := authority(t, "envoy.svc", "other.svc")
	foreign, _ := authority(t, "envoy.svc")
	server, err := tlsfiles.Server(options(dir, "gate.svc", "envoy.svc"))
	if err != nil {
		t.Fatal(err)
	}
	alien := options(foreign, "envoy.svc", "gate.svc")
	alien.CA = filepath.Join(dir, "ca.crt")
	mistrusting := options(dir, "envoy.svc", "gate.svc")
	mistrusting.CA = filepath.Join(foreign, "ca.crt")
	for name, c := range map[string]struct {
		o  tlsfiles.Options
		ok bool
	}{
		"Both":            {options(dir, "envoy.svc", "gate.svc"), true},
		"OtherClient":     {options(dir, "other.svc", "gate.svc"), false},
		"OtherServer":     {options(dir, "envoy.svc", "db.svc"), false},
		"ForeignClient":   {alien, false},
		"UntrustedServer": {mistrusting, false},
		"NoCertificate":   {tlsfiles.Options{CA: filepath.Join(dir, "ca.crt"), Names: []string{"gate.svc"}, Logger: quiet}, false},
	} {
		client, err := tlsfiles.Client(c.o)
		if err != nil {
			t.Fatal(name, err)
		}
		if _, err := meet(server, client); (err == nil) != c.ok {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestFilesAreReadAgainAndBrokenOnesAreNot(t *testing.T) {
	t.Parallel()
	dir, ca := authority(t, "envoy.svc")
	server, err := tlsfiles.Server(options(dir, "gate.svc", "envoy.svc"))
	if err != nil {
		t.Fatal(err)
	}
	client, err := tlsfiles.Client(options(dir, "envoy.svc", "gate.svc"))
	if err != nil {
		t.Fatal(err)
	}
	seen := func() string {
		t.Helper()
		serial, err := meet(server, client)
		if err != nil {
			t.Fatal(err)
		}
		return serial
	}
	first := seen()
	issue(t, ca, "gate.svc")
	issue(t, ca, "envoy.svc")
	second := seen()
	if second == first {
		t.Error("the certificate of before is shown")
	}
	for _, file := range []string{"gate.svc.key", "gate.svc.crt", "ca.crt"} {
		if err := os.WriteFile(filepath.Join(dir, file), []byte("nothing"), 0o600); err != nil {
			t.Fatal(err)
		}
		if got := seen(); got != second {
			t.Errorf("a broken %s changed what is shown", file)
		}
	}
	if err := os.Remove(filepath.Join(dir, "gate.svc.key")); err != nil {
		t.Fatal(err)
	}
	if got := seen(); got != second {
		t.Error("a missing file changed what is shown")
	}
}

func TestWrongOptionsAreNamed(t *testing.T) {
	t.Parallel()
	dir, _ := authority(t)
	for want, err := range map[string]error{
		"a server needs":      second(tlsfiles.Server(tlsfiles.Options{Cert: "c", Key: "k", CA: "a"})),
		"go together":         second(tlsfiles.Client(tlsfiles.Options{Cert: "c"})),
		"has one name":        second(tlsfiles.Client(tlsfiles.Options{Names: []string{"a", "b"}})),
		"nowhere.crt":         second(tlsfiles.Server(options(dir, "nowhere", "a"))),
		"no certificate in P": second(tlsfiles.Client(tlsfiles.Options{CA: filepath.Join(dir, "ca.key")})),
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want one that says %q", err, want)
		}
	}
}

func second(_ *tls.Config, err error) error { return err }
