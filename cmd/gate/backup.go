package main

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/neosc/gate/bundles"
	"github.com/neosc/gate/cmd/gate/internal/config"
	"github.com/neosc/gate/session/sqlstore"
)

// backupVersion is the form of the file: a gzipped tar of manifest.json and the
// parts that it names.
const backupVersion = 1

// manifest is the first entry of a backup.
type manifest struct {
	Version int          `json:"version"`
	Created time.Time    `json:"created"`
	Parts   []backupPart `json:"parts"`
}

// backupPart is one file of local state. Its name says what it is, wherever the
// configuration that it is restored with has it.
type backupPart struct {
	Name   string `json:"name"`
	Size   int64  `json:"size"`
	SHA256 string `json:"sha256"`

	path     string
	database bool
}

// localState are the files that a gate with this configuration keeps on its own
// machine, beside its kept bundles. What Redis and Postgres hold is theirs to back up.
func localState(cfg *config.Config) []backupPart {
	parts := []backupPart{{Name: "cookie-keys", path: cfg.Cookie.Keys}, {Name: "assertion-keys", path: cfg.Identity.Keys}}
	if cfg.Audit.Keys != "" {
		parts = append(parts, backupPart{Name: "audit-keys", path: cfg.Audit.Keys})
	}
	if cfg.Session.Store != "postgres" {
		parts = append(parts, backupPart{Name: "gate.db", path: cfg.Session.Path, database: true}, backupPart{Name: "audit.db", path: cfg.Audit.Path, database: true})
	}
	return parts
}

func backupCommand() command {
	return command{"backup", "write all local state into one file, while the gate runs or not", runBackup}
}

func runBackup(ctx context.Context, args []string, s streams) int {
	f := operatorFlagSet("backup", "gate backup FILE [-force] [-config gate.yaml]", "Writes the databases, the keys and the kept policy bundles of this gate into FILE, mode 0600,\neach as it was at one instant. Whoever has the file can be anybody: keep it as you keep the keys.", s)
	force := f.Bool("force", false, "write over FILE if it is there")
	rest, code, done := f.operands(args, 1, 1)
	if done {
		return code
	}
	cfg, err := config.Load(f.config, os.Environ())
	var m manifest
	if err == nil {
		m, err = backup(ctx, cfg, rest[0], *force, time.Now())
	}
	if err == nil {
		err = f.print(s.out, m, func(w io.Writer) { printParts(w, "kept", m) })
	}
	return fail(s.err, f.Name(), err)
}

func printParts(w io.Writer, did string, m manifest) {
	for _, p := range m.Parts {
		fmt.Fprintf(w, "%s %s (%d bytes)\n", did, p.Name, p.Size)
	}
}

// backup puts the file in place whole or not at all.
func backup(ctx context.Context, cfg *config.Config, file string, force bool, now time.Time) (m manifest, err error) {
	if _, err := os.Lstat(file); err == nil && !force {
		return m, fmt.Errorf("%s is there already; choose another name, or give -force", file)
	}
	dir, err := os.MkdirTemp(filepath.Dir(file), ".backup-*") // mode 0700
	if err != nil {
		return m, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	m = manifest{Version: backupVersion, Created: now.UTC().Truncate(time.Second)}
	if err := m.copy(ctx, localState(cfg), dir); err != nil {
		return m, err
	}
	if err := m.copyBundles(ctx, cfg, dir); err != nil {
		return m, err
	}
	if len(m.Parts) == 0 {
		return m, errors.New("there is nothing to back up: no gate has run with this configuration")
	}
	whole := filepath.Join(dir, "whole")
	if err := writeArchive(whole, dir, m); err != nil {
		return m, err
	}
	return m, moveInto(whole, file, force)
}

// copy copies what is there of some parts into a folder.
func (m *manifest) copy(ctx context.Context, parts []backupPart, dir string) error {
	for _, p := range parts {
		err := p.copyTo(ctx, filepath.Join(dir, p.Name))
		if errors.Is(err, fs.ErrNotExist) {
			continue // a gate that has not run yet
		}
		if err == nil {
			p.Size, p.SHA256, err = digest(filepath.Join(dir, p.Name))
		}
		if err != nil {
			return fmt.Errorf("%s: %w", p.path, err)
		}
		m.Parts = append(m.Parts, p)
	}
	return nil
}

// copyTo makes a copy at one instant, mode 0600. A database that is written to
// meanwhile is copied by SQLite itself.
func (p backupPart) copyTo(ctx context.Context, to string) error {
	if _, err := os.Stat(p.path); err != nil {
		return err
	}
	out, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	if p.database {
		if err := out.Close(); err != nil {
			return err
		}
		return vacuumInto(ctx, p.path, to)
	}
	in, err := os.Open(p.path)
	if err != nil {
		return errors.Join(err, out.Close())
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, in.Close(), out.Close())
}

// bundleParts begins the names of the parts that are kept bundles.
const bundleParts = "policy-bundles/"

// copyBundles adds the bundles that were active, and which of them is: without that
// a gate would begin with whatever its source has, and take one that is older than it
// has had.
func (m *manifest) copyBundles(ctx context.Context, cfg *config.Config, dir string) error {
	from := keptBundles(cfg)
	letGo, err := bundles.HoldKept(from)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer letGo()
	entries, err := os.ReadDir(from)
	if err != nil {
		return err
	}
	var parts []backupPart
	for _, e := range entries {
		if bundles.IsKept(e.Name()) {
			parts = append(parts, bundlePart(cfg, e.Name()))
		}
	}
	if err := os.Mkdir(filepath.Join(dir, bundleParts), 0o700); err != nil {
		return err
	}
	return m.copy(ctx, parts, dir)
}

// bundlePart is a file of the folder of kept bundles.
func bundlePart(cfg *config.Config, name string) backupPart {
	return backupPart{Name: bundleParts + name, path: filepath.Join(keptBundles(cfg), name)}
}

func vacuumInto(ctx context.Context, path, to string) error {
	db, err := sqlstore.OpenSQLite(ctx, path)
	if err != nil {
		return err
	}
	_, err = db.ExecContext(ctx, `VACUUM INTO ?`, to)
	return errors.Join(err, db.Close())
}

func digest(file string) (int64, string, error) {
	f, err := os.Open(file)
	if err != nil {
		return 0, "", err
	}
	h := sha256.New()
	n, err := io.Copy(h, f)
	return n, hex.EncodeToString(h.Sum(nil)), errors.Join(err, f.Close())
}

func writeArchive(file, dir string, m manifest) error {
	f, err := os.OpenFile(file, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	z := gzip.NewWriter(f)
	t := tar.NewWriter(z)
	head, err := json.MarshalIndent(m, "", "  ")
	if err == nil {
		err = t.WriteHeader(&tar.Header{Name: "manifest.json", Mode: 0o600, Size: int64(len(head)), ModTime: m.Created})
	}
	if err == nil {
		_, err = t.Write(head)
	}
	for _, p := range m.Parts {
		if err == nil {
			err = addPart(t, filepath.Join(dir, p.Name), p, m.Created)
		}
	}
	if err == nil {
		err = errors.Join(t.Close(), z.Close(), f.Sync())
	}
	return errors.Join(err, f.Close())
}

func addPart(t *tar.Writer, file string, p backupPart, at time.Time) error {
	in, err := os.Open(file)
	if err != nil {
		return err
	}
	err = t.WriteHeader(&tar.Header{Name: p.Name, Mode: 0o600, Size: p.Size, ModTime: at})
	if err == nil {
		_, err = io.Copy(t, in)
	}
	return errors.Join(err, in.Close())
}

// moveInto gives a file its name: without force a link, which fails where
// another file is.
func moveInto(from, to string, force bool) error {
	move := os.Link
	if force {
		move = os.Rename
	}
	if err := move(from, to); err != nil {
		if errors.Is(err, fs.ErrExist) {
			err = fmt.Errorf("%s is there already; give -force to write over it", to)
		}
		return err
	}
	d, err := os.Open(filepath.Dir(to))
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
