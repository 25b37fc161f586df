package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/neosc/gate/cmd/gate/internal/pki"
)

// devCertLife is how long the demo's certificate lasts; every start makes another.
const devCertLife = 30 * 24 * time.Hour

// certify has a certificate for all hosts of the demo, by an authority in the
// state folder that stays: a browser is told to trust it once. It vouches for
// nothing but the demo's hosts, so that its key, in a folder of a developer's
// machine, opens nothing else.
func (d *demo) certify(now time.Time) error {
	if !d.o.tls {
		return nil
	}
	dir := filepath.Join(d.o.state, "tls")
	ca, err := pki.Open(dir)
	if _, there := os.Stat(filepath.Join(dir, pki.FileCert)); errors.Is(there, fs.ErrNotExist) {
		ca, err = pki.Create(pki.CAOptions{Dir: dir, Name: "NeoSC Gate demo", Permitted: []string{devDomain}, Now: now})
	}
	if err != nil {
		return fmt.Errorf("-tls: %w", err)
	}
	if _, err := ca.Issue(pki.Leaf{Name: "edge", DNS: []string{"*." + devDomain, "*.portal." + devDomain}, Server: true, Lifetime: devCertLife, Force: true, Now: now}); err != nil {
		return fmt.Errorf("-tls: %w", err)
	}
	d.ca, d.cert, d.key = filepath.Join(dir, pki.FileCert), filepath.Join(dir, "edge.crt"), filepath.Join(dir, "edge.key")
	return nil
}

func (d *demo) scheme() string {
	if d.o.tls {
		return "https"
	}
	return "http"
}

// trustWords say how programs come to trust the demo.
func (d *demo) trustWords() string {
	if !d.o.tls {
		return ""
	}
	return fmt.Sprintf(`trust    %s: curl --cacert FILE; Firefox and Chrome: Settings, Certificates, Authorities, Import;
         Debian: sudo cp FILE /usr/local/share/ca-certificates/neosc-demo.crt && sudo update-ca-certificates
`, d.ca)
}
