package main

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/neosc/gate/bundles"
	"github.com/neosc/gate/cmd/gate/internal/config"
)

const (
	// maxManifest bounds the first entry of a backup, in bytes.
	maxManifest = 1 << 20
	// maxBackupPart bounds each other one: a trail of some 10^9 entries.
	maxBackupPart = 1 << 40
)

func restoreCommand() command {
	return command{"restore", "put a backup's state in place of a gate that does not run", runRestore}
}

func runRestore(ctx context.Context, args []string, s streams) int {
	f := operatorFlagSet("restore", "gate restore FILE [-force] [-config gate.yaml]", "Puts the databases, keys and kept policy bundles of FILE where this configuration has them, all or, if one is\nnot as it was backed up, none. The gate must not run.", s)
	force := f.Bool("force", false, "write over state that is there")
	rest, code, done := f.operands(args, 1, 1)
	if done {
		return code
	}
	cfg, err := config.Load(f.config, os.Environ())
	var m manifest
	if err == nil {
		m, err = restore(ctx, cfg, rest[0], *force)
	}
	if err == nil {
		err = f.print(s.out, m, func(w io.Writer) {
			printParts(w, "restored", m)
			fmt.Fprintf(w, "All is as it was at %s: sessions that were ended since live again, and accounts\nthat were disabled are not. When the gate runs, gate session revoke -all ends all sessions.\n", m.Created.Format(time.RFC3339))
		})
	}
	return fail(s.err, f.Name(), err)
}

// restore unpacks everything beside its place before anything gets there.
func restore(ctx context.Context, cfg *config.Config, file string, force bool) (m manifest, err error) {
	if running(ctx, cfg.Listen.Admin) {
		return m, fmt.Errorf("a gate answers at %s: stop it first", cfg.Listen.Admin)
	}
	st, err := os.Stat(file)
	if err != nil {
		return m, err
	}
	if st.Mode().Perm()&0o077 != 0 {
		return m, fmt.Errorf("%s has mode %#o, so others can use its keys; run: chmod 600 %s", file, st.Mode().Perm(), file)
	}
	f, err := os.Open(file)
	if err != nil {
		return m, err
	}
	defer func() { _ = f.Close() }()
	var unpacked []backupPart
	defer func() {
		for _, p := range unpacked {
			_ = os.Remove(beside(p.path)) // gone, if it was put in place
		}
	}()
	m, err = readArchive(f, func(m manifest) error { return placeParts(cfg, m, force) }, func(p backupPart, r io.Reader) error {
		unpacked = append(unpacked, p)
		return p.unpack(r)
	})
	if err != nil {
		return m, fmt.Errorf("%s: %w; nothing was changed", file, err)
	}
	for _, p := range unpacked {
		if err := p.install(force); err != nil {
			return m, fmt.Errorf("%s: %w", p.path, err)
		}
	}
	return m, nil
}

// running reports whether a gate answers at its admin socket.
func running(ctx context.Context, socket string) bool {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	c, err := new(net.Dialer).DialContext(ctx, "unix", socket)
	if err != nil {
		return false
	}
	_ = c.Close()
	return true
}

// placeParts finds where the parts belong, and that nothing is in the way.
func placeParts(cfg *config.Config, m manifest, force bool) error {
	places := map[string]backupPart{}
	for _, p := range localState(cfg) {
		places[p.Name] = p
	}
	seen := map[string]bool{}
	for i, p := range m.Parts {
		at, ok := places[p.Name]
		if name, kept := strings.CutPrefix(p.Name, bundleParts); kept && bundles.IsKept(name) {
			at, ok = bundlePart(cfg, name), true
		}
		switch {
		case !ok:
			return fmt.Errorf("it has %q, for which this configuration has no place", visible(p.Name))
		case seen[p.Name]:
			return fmt.Errorf("it has %s twice", p.Name)
		case p.Size < 0 || p.Size > maxBackupPart:
			return fmt.Errorf("%s cannot have %d bytes", p.Name, p.Size)
		}
		seen[p.Name] = true
		m.Parts[i].path, m.Parts[i].database = at.path, at.database
		if _, err := os.Lstat(at.path); err == nil && !force {
			return fmt.Errorf("%s is there already; give -force to write over it", at.path)
		}
	}
	return nil
}

// readArchive reads a backup: what is in it is given to part in the manifest's
// order, once placed has agreed to the manifest.
func readArchive(r io.Reader, placed func(manifest) error, part func(backupPart, io.Reader) error) (m manifest, err error) {
	z, err := gzip.NewReader(r)
	if err != nil {
		return m, errors.New("it is not a backup of a gate")
	}
	t := tar.NewReader(z)
	h, err := t.Next()
	if err != nil || h.Name != "manifest.json" || h.Size > maxManifest {
		return m, errors.New("it is not a backup of a gate")
	}
	if err := json.NewDecoder(t).Decode(&m); err != nil {
		return m, errors.New("its manifest cannot be read")
	}
	if m.Version != backupVersion {
		return m, fmt.Errorf("it has version %d, and this gate knows %d: use the gate that wrote it, or a newer one", m.Version, backupVersion)
	}
	if err := placed(m); err != nil {
		return m, err
	}
	for _, p := range m.Parts {
		h, err := t.Next()
		if err != nil || h.Name != p.Name || h.Size != p.Size {
			return m, fmt.Errorf("%s is missing: the file was cut off, or changed", p.Name)
		}
		if err := part(p, t); err != nil {
			return m, err
		}
	}
	return m, nil
}

// beside is where a part is unpacked, on the file system of its place.
func beside(path string) string { return path + ".restoring" }

func (p backupPart) unpack(r io.Reader) error {
	if err := os.MkdirAll(filepath.Dir(p.path), 0o700); err != nil {
		return err
	}
	if err := os.Remove(beside(p.path)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	f, err := os.OpenFile(beside(p.path), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, r)
	if err == nil {
		err = f.Sync()
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("%s: %w", p.Name, err)
	}
	_, sum, err := digest(beside(p.path))
	if err == nil && !strings.EqualFold(sum, p.SHA256) {
		err = errors.New("it is not as it was backed up")
	}
	if err != nil {
		return fmt.Errorf("%s: %w", p.Name, err)
	}
	return nil
}

// install puts a part in its place. A database's old log goes first: replayed
// over another database it would destroy it.
func (p backupPart) install(force bool) error {
	if p.database {
		for _, suffix := range []string{"-wal", "-shm"} {
			if err := os.Remove(p.path + suffix); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
		}
	}
	return moveInto(beside(p.path), p.path, force)
}
