package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/neosc/gate/bundles/archive"
)

func bundleCommand() command {
	return verbs("bundle", "Build, sign and look at policy bundles, and go back to one that was active", []command{
		{"build", "pack a policy folder; the same files give the same bytes", bundleBuild},
		{"key", "make a key pair to sign bundles with", bundleKey},
		{"sign", "sign a bundle", bundleSign},
		{"verify", "say whether a gate would take a bundle", bundleVerify},
		{"inspect", "say what is in a bundle", bundleInspect},
		{"diff", "say what one bundle has otherwise than another", bundleDiff},
		{"list", "list the bundles that a running gate can go back to", bundleList},
		{"rollback", "have a running gate go back to a bundle", bundleRollback},
	})
}

func bundleBuild(_ context.Context, args []string, s streams) int {
	f := flagSet("bundle build", "gate bundle build -out FILE [flags] DIR",
		"Packs the Rego, the tests and the data of a policy folder in OPA's bundle format. Nothing of\nthe machine and the hour is in it: the same files and flags give the same bytes.", s)
	out := f.String("out", "", "`file` to write, e.g. policy.tar.gz")
	revision := f.String("revision", "", "`name` of this content, e.g. a commit (default: a hash of it)")
	sequence := f.Uint64("sequence", 0, "`number` that is higher than that of every bundle before; a gate takes no lower one")
	var roots, metadata list
	f.Var(&roots, "root", "`path` of data that the bundle owns, e.g. neosc/authz; may be repeated (default: what its packages\nand data begin with)")
	f.Var(&metadata, "metadata", "`name=value` for its manifest; may be repeated")
	rest, code, done := f.operands(args, 1, 1)
	if done {
		return code
	}
	if *out == "" {
		fmt.Fprintln(s.err, "gate bundle build: say with -out where to write it")
		return exitUsage
	}
	o := archive.BuildOptions{Revision: *revision, Sequence: *sequence, Roots: roots, Metadata: map[string]string{}}
	for _, m := range metadata {
		name, value, ok := strings.Cut(m, "=")
		if !ok || name == "" || name == "sequence" {
			fmt.Fprintf(s.err, "gate bundle build: -metadata %q is not name=value (the sequence has a flag of its own)\n", m)
			return exitUsage
		}
		o.Metadata[name] = value
	}
	return fail(s.err, "bundle build", func() error {
		root, err := os.OpenRoot(rest[0])
		if err != nil {
			return fmt.Errorf("policy folder: %w", err)
		}
		defer root.Close()
		packed, err := archive.Build(root.FS(), o)
		if err != nil {
			return err
		}
		a, err := archive.Read(packed)
		if err == nil {
			err = writeWhole(*out, packed, 0o644)
		}
		if err == nil {
			fmt.Fprintf(s.out, "%s: revision %s, %d files, %d bytes; not signed\n", *out, a.Manifest.Revision, len(a.Files), len(packed))
		}
		return err
	}())
}

// writeWhole gives a file its name only when it is whole.
func writeWhole(name string, text []byte, mode os.FileMode) (err error) {
	if info, err := os.Stat(name); err == nil && info.IsDir() {
		return fmt.Errorf("%s is a folder: name the file in it", name)
	}
	f, err := os.CreateTemp(filepath.Dir(name), "."+filepath.Base(name)+".*")
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s: there is no folder %s", name, filepath.Dir(name))
	}
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(f.Name()))
		}
	}()
	_, err = f.Write(text)
	if err == nil {
		err = f.Chmod(mode)
	}
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), name)
}

func bundleKey(_ context.Context, args []string, s streams) int {
	f := flagSet("bundle key", "gate bundle key [-alg EdDSA] NAME",
		"Makes a key pair: NAME.key, which signs and stays where releases are made, and NAME.pem,\nwhich gates verify with (policy.verify.keys). Files that are there are not written over.", s)
	algorithm := f.String("alg", "EdDSA", "`algorithm`: EdDSA (Ed25519) or ES256 (P-256)")
	rest, code, done := f.operands(args, 1, 1)
	if done {
		return code
	}
	return fail(s.err, "bundle key", func() error {
		private, public, err := archive.NewKey(*algorithm)
		if err != nil {
			return err
		}
		for _, x := range []struct {
			name string
			text []byte
			mode os.FileMode
		}{{rest[0] + ".key", private, 0o600}, {rest[0] + ".pem", public, 0o644}} {
			if err := writeKey(x.name, x.text, x.mode); err != nil {
				return err
			}
			fmt.Fprintln(s.out, x.name)
		}
		return nil
	}())
}

func writeKey(name string, text []byte, mode os.FileMode) error {
	f, err := os.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, mode)
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	return errors.Join(err, f.Close())
}

func bundleSign(_ context.Context, args []string, s streams) int {
	f := flagSet("bundle sign", "gate bundle sign -key FILE [flags] BUNDLE",
		"Signs all files of a bundle, in OPA's form (.signatures.json). A signature that it has is\nreplaced. With an Ed25519 key the same bundle, time and flags give the same bytes.", s)
	key := f.String("key", "", "`file` of the private key: PEM or JWK, P-256 or Ed25519")
	id := f.String("key-id", "", "`name` of the key in the signature (default: the JWK's kid, or the file's name without its ending)")
	issuer := f.String("issuer", "", "`who` signs, for people")
	scope := f.String("scope", "", "`scope` that gates must ask for (policy.verify.scope)")
	expires := f.Duration("expires", 0, "`time` after which no gate activates it anew, e.g. 2160h; 0: never")
	out := f.String("out", "", "`file` to write (default: the bundle itself)")
	rest, code, done := f.operands(args, 1, 1)
	if done {
		return code
	}
	if *key == "" || *expires < 0 {
		fmt.Fprintln(s.err, "gate bundle sign: give the private key with -key, and no negative -expires")
		return exitUsage
	}
	return fail(s.err, "bundle sign", func() error {
		private, err := archive.ReadPrivateKey(*key)
		if err != nil {
			return err
		}
		o := archive.SignOptions{Key: private, KeyID: *id, Issuer: *issuer, Scope: *scope, Now: time.Now()}
		if *expires > 0 {
			o.Expires = o.Now.Add(*expires)
		}
		packed, err := os.ReadFile(rest[0])
		if err != nil {
			return err
		}
		signed, err := archive.Sign(packed, o)
		if err != nil {
			return err
		}
		to := *out
		if to == "" {
			to = rest[0]
		}
		if err := writeWhole(to, signed, 0o644); err != nil {
			return err
		}
		fmt.Fprintf(s.out, "%s: signed with %s key %s\n", to, private.Algorithm(), keyIDOf(*id, private))
		return nil
	}())
}

func keyIDOf(id string, k archive.PrivateKey) string {
	if id != "" {
		return id
	}
	return k.ID
}
