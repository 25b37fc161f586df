package main

import (
	"cmp"
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"time"

	"github.com/neosc/gate/cmd/gate/internal/pki"
)

// soon is how long before its end a certificate is warned of.
const soon = 14 * 24 * time.Hour

func certsCommand() command {
	c := verbs("certs", "Make and show the certificates with which Envoy, the gate, its stores and clients\nprove to each other who they are", []command{
		{"ca", "make a certificate authority in a folder", certsCA},
		{"issue", "issue a certificate and its key", certsIssue},
		{"revoke", "put a certificate on the authority's revocation list", certsRevoke},
		{"show", "show what is in certificate files, and what ends soon", certsShow},
	})
	c.short = "make, revoke and show the certificates of a small deployment"
	return c
}

func certsCA(_ context.Context, args []string, s streams) int {
	fs := flagSet("certs ca", "gate certs ca -dir DIR [-name NAME] [-permit DOMAIN,…] [-force]", "Makes ca.crt (what others trust), ca.key (0600; whoever has it can be anybody) and\nca.crl (the list of revoked certificates), for ten years.", s)
	dir := fs.String("dir", "", "`folder` of the authority")
	name := fs.String("name", "NeoSC Gate CA", "the authority's `name`")
	var permit list
	fs.Var(&permit, "permit", "DNS `domains`, with commas: certificates for other names do not hold")
	force := fs.Bool("force", false, "replace the authority that is there; nothing that it has issued holds then")
	if code, done := fs.parse(args, 0); done {
		return code
	}
	if *dir == "" {
		return noFolder("certs ca", s)
	}
	_, err := pki.Create(pki.CAOptions{Dir: *dir, Name: *name, Permitted: permit, Force: *force, Now: time.Now()})
	if err == nil {
		fmt.Fprintf(s.out, "%s  trust this\n%s  keep this to yourself\n%s  what is revoked\n",
			filepath.Join(*dir, pki.FileCert), filepath.Join(*dir, pki.FileKey), filepath.Join(*dir, pki.FileCRL))
	}
	return fail(s.err, "certs ca", hintForce(err))
}

func certsIssue(_ context.Context, args []string, s streams) int {
	fs := flagSet("certs issue", "gate certs issue -dir DIR [-dns NAMES] [-uri URIS] [-ip ADDRESSES] [-server] [-client] [-days 90] [-force] NAME", "Writes NAME.crt and NAME.key (0600) into the authority's folder. With -force it renews\nthem in place, which gates and Envoys that use the files see by themselves.", s)
	dir := fs.String("dir", "", "`folder` of the authority")
	var dns, uris, ips list
	fs.Var(&dns, "dns", "DNS `names`, with commas; NAME if no other name is given")
	fs.Var(&uris, "uri", "`URIs`, with commas, such as spiffe://cluster/app")
	fs.Var(&ips, "ip", "IP `addresses`, with commas")
	server := fs.Bool("server", false, "for servers only")
	client := fs.Bool("client", false, "for clients only (without -server and -client: for both)")
	days := fs.Int("days", 90, "`days` until it ends, at most the authority's own")
	force := fs.Bool("force", false, "replace the files that are there")
	rest, code, done := fs.operands(args, 1, 1)
	if done {
		return code
	}
	if *dir == "" {
		return noFolder("certs issue", s)
	}
	name := rest[0]
	if *days < 1 || *days > 3650 {
		return fail(s.err, "certs issue", fmt.Errorf("-days %d is not from 1 to 3650", *days))
	}
	ca, err := pki.Open(*dir)
	if err != nil {
		return fail(s.err, "certs issue", err)
	}
	now := time.Now()
	c, err := ca.Issue(pki.Leaf{Name: name, DNS: dns, URIs: uris, IPs: ips, Server: *server, Client: *client, Lifetime: time.Duration(*days) * 24 * time.Hour, Force: *force, Now: now})
	if err == nil {
		showCertificate(s.out, filepath.Join(*dir, name+".crt"), c, now)
	}
	return fail(s.err, "certs issue", hintForce(err))
}

func certsRevoke(_ context.Context, args []string, s streams) int {
	fs := flagSet("certs revoke", "gate certs revoke -dir DIR FILE", "Puts the certificate in FILE on the authority's list, DIR/ca.crl. Envoys that use the\nlist read it again by themselves.", s)
	dir := fs.String("dir", "", "`folder` of the authority")
	rest, code, done := fs.operands(args, 1, 1)
	if done {
		return code
	}
	if *dir == "" {
		return noFolder("certs revoke", s)
	}
	file := rest[0]
	return fail(s.err, "certs revoke", func() error {
		ca, err := pki.Open(*dir)
		if err != nil {
			return err
		}
		certs, err := pki.ReadCertificates(file)
		if err != nil {
			return err
		}
		if err := ca.Revoke(certs[0], time.Now()); err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
		fmt.Fprintf(s.out, "%s is on %s\n", serialOf(certs[0]), filepath.Join(*dir, pki.FileCRL))
		return nil
	}())
}

func certsShow(_ context.Context, args []string, s streams) int {
	fs := flagSet("certs show", "gate certs show FILE…", "Shows subject, names, end and fingerprint of every certificate in the files. One that\nends within 14 days is warned of, one that has ended makes the command fail.", s)
	files, code, done := fs.operands(args, 1, 1000)
	if done {
		return code
	}
	now := time.Now()
	var failed error
	for _, file := range files {
		certs, err := pki.ReadCertificates(file)
		failed = errors.Join(failed, err)
		for _, c := range certs {
			showCertificate(s.out, file, c, now)
			switch left := c.NotAfter.Sub(now); {
			case left <= 0:
				failed = errors.Join(failed, fmt.Errorf("%s: it ended at %s", file, c.NotAfter.Format(time.RFC3339)))
			case left < soon:
				fmt.Fprintf(s.err, "warning: %s ends in %d days\n", file, int(left.Hours()/24))
			}
		}
	}
	return fail(s.err, "certs show", failed)
}

func noFolder(name string, s streams) int {
	fmt.Fprintf(s.err, "gate %s: -dir is missing; see gate %s -h\n", name, name)
	return exitUsage
}

// hintForce names the flag that overwrites.
func hintForce(err error) error {
	if errors.Is(err, pki.ErrExists) {
		return fmt.Errorf("%w; -force replaces it", err)
	}
	return err
}

func serialOf(c *x509.Certificate) string { return hex.EncodeToString(c.SerialNumber.Bytes()) }

func showCertificate(w io.Writer, file string, c *x509.Certificate, now time.Time) {
	sum := sha256.Sum256(c.Raw)
	fmt.Fprintf(w, "%s\n  subject      %s\n  issuer       %s\n", file, c.Subject, c.Issuer)
	fmt.Fprintf(w, "  names        %s\n  use          %s\n", cmp.Or(strings.Join(namesOf(c), ", "), "none"), cmp.Or(strings.Join(usesOf(c), ", "), "any"))
	fmt.Fprintf(w, "  valid        %s to %s (%d days left)\n", c.NotBefore.UTC().Format(time.RFC3339), c.NotAfter.UTC().Format(time.RFC3339), int(c.NotAfter.Sub(now).Hours()/24))
	fmt.Fprintf(w, "  serial       %s\n  sha256       %s\n", serialOf(c), hex.EncodeToString(sum[:]))
}

func namesOf(c *x509.Certificate) []string {
	var names []string
	for _, d := range c.DNSNames {
		names = append(names, "dns "+d)
	}
	for _, u := range c.URIs {
		names = append(names, "uri "+u.String())
	}
	for _, ip := range c.IPAddresses {
		names = append(names, "ip "+ip.String())
	}
	return names
}

func usesOf(c *x509.Certificate) []string {
	var use []string
	if c.IsCA {
		use = append(use, "authority")
	}
	for _, u := range c.ExtKeyUsage {
		switch u {
		case x509.ExtKeyUsageServerAuth:
			use = append(use, "server")
		case x509.ExtKeyUsageClientAuth:
			use = append(use, "client")
		}
	}
	return use
}
