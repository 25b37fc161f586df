package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/note"

	"github.com/neosc/gate/authz/audit"
	"github.com/neosc/gate/cmd/gate/internal/config"
)

// verifyFlags say what a trail must agree with.
type verifyFlags struct {
	*operatorFlags
	heads       []audit.Head
	checkpoints list
	public      list
	keep        string
}

func auditVerify(ctx context.Context, args []string, s streams) int {
	f := &verifyFlags{operatorFlags: operatorFlagSet("audit verify", "gate audit verify [-checkpoints FILE|FOLDER] [-head NUMBER:HASH] [flags]",
		"Reads the whole trail from its database, while the gate runs or not, and says which entry\nwas changed, reordered or removed. Against who can change the database there is what left\nthe machine: exported checkpoints, or the head that was printed before.", s)}
	f.Func("head", "the `head` that was printed before", func(text string) error {
		h, err := audit.ParseHead(text)
		f.heads = append(f.heads, h)
		return err
	})
	f.Var(&f.checkpoints, "checkpoints", "`file` or folder with exported checkpoints (default: audit.checkpoints.file and dir,\nif they can be read)")
	f.Var(&f.public, "key", "public `key` of the checkpoints, as gate audit key prints it (default: from audit.keys)")
	f.StringVar(&f.keep, "keep", "", "`days` that entries are kept (default: audit.keep); older ones may be missing")
	if _, code, done := f.operands(args, 0, 0); done {
		return code
	}
	var span audit.Span
	var exported int
	cfg, err := config.Load(f.config, os.Environ())
	if err == nil {
		span, exported, err = f.verify(ctx, cfg)
	}
	if err == nil {
		err = f.print(s.out, verified(span, exported), func(w io.Writer) { printVerified(w, span, exported) })
	}
	return fail(s.err, f.Name(), err)
}

func verified(s audit.Span, exported int) map[string]any {
	return map[string]any{
		"entries": s.Entries(), "first": s.Start.Number + 1, "head": s.End.String(),
		"checkpoints": s.Checkpoints, "checkpoints_unknown": s.Unknown, "checkpoints_exported": exported,
	}
}

func printVerified(w io.Writer, s audit.Span, exported int) {
	fmt.Fprintf(w, "%d entries, each as it was written\n", s.Entries())
	if s.Start.Number > 0 {
		fmt.Fprintf(w, "entries 1 to %d were kept long enough and taken out\n", s.Start.Number)
	}
	if s.Checkpoints+exported > 0 {
		fmt.Fprintf(w, "%d checkpoints in the database and %d from elsewhere agree\n", s.Checkpoints, exported)
	}
	if s.Unknown > 0 {
		fmt.Fprintf(w, "%d checkpoints are signed by other keys and prove nothing; give those keys with -key\n", s.Unknown)
	}
	fmt.Fprintf(w, "head: %s\n", s.End)
}

func (f *verifyFlags) verify(ctx context.Context, cfg *config.Config) (audit.Span, int, error) {
	want := audit.Expected{Known: f.heads}
	var err error
	if want.Keys, err = f.keys(cfg); err != nil {
		return audit.Span{}, 0, err
	}
	days, err := cfg.Audit.KeepDays()
	if f.keep != "" {
		if days, err = config.ParseDays(f.keep); err != nil {
			err = fmt.Errorf("-keep %w", err)
		}
	}
	if err != nil {
		return audit.Span{}, 0, err
	}
	want.KeptFrom = audit.KeptFrom(time.Now(), time.Duration(days)*24*time.Hour)
	if want.Exported, err = f.exported(cfg, want.Keys); err != nil {
		return audit.Span{}, 0, err
	}
	db, d, closeIt, err := readAudit(ctx, cfg)
	if err != nil {
		return audit.Span{}, 0, err
	}
	span, err := audit.Verify(ctx, db, d, want)
	return span, len(want.Exported), errors.Join(err, closeIt())
}

// keys are those of -key, else those that this machine has; nil if it has none.
func (f *verifyFlags) keys(cfg *config.Config) (note.Verifiers, error) {
	if len(f.public) > 0 {
		return audit.ParsePublic(f.public)
	}
	if cfg.Audit.Keys == "" {
		return nil, nil
	}
	k, err := audit.ReadKeys(cfg.Audit.Keys)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case err != nil:
		return nil, err
	}
	return k.Verifiers(), nil
}

// exported reads the checkpoints that were exported to files. Those that the
// configuration names may be out of reach here, those of -checkpoints not.
func (f *verifyFlags) exported(cfg *config.Config, keys note.Verifiers) (all []audit.Checkpoint, err error) {
	names, asked := []string(f.checkpoints), len(f.checkpoints) > 0
	if !asked {
		for _, n := range []string{cfg.Audit.Checkpoints.File, cfg.Audit.Checkpoints.Dir} {
			if n != "" {
				names = append(names, n)
			}
		}
	}
	if keys == nil && asked {
		return nil, errors.New("-checkpoints need a key: give the public one with -key, as gate audit key prints it")
	}
	if keys == nil {
		return nil, nil
	}
	for _, n := range names {
		some, err := readExported(n, keys)
		if err != nil && (asked || !errors.Is(err, fs.ErrNotExist)) {
			return nil, fmt.Errorf("checkpoints %s: %w", n, err)
		}
		all = append(all, some...)
	}
	return all, nil
}

// readExported reads a file of checkpoints, or all *.note of a folder.
func readExported(name string, keys note.Verifiers) ([]audit.Checkpoint, error) {
	st, err := os.Stat(name)
	if err != nil {
		return nil, err
	}
	files := []string{name}
	if st.IsDir() {
		if files, err = filepath.Glob(filepath.Join(strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(name), "*.note")); err != nil {
			return nil, err
		}
	}
	var all []audit.Checkpoint
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		some, err := audit.ReadCheckpoints(bytes.NewReader(b), keys)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", filepath.Base(file), err)
		}
		all = append(all, some...)
	}
	return all, nil
}

func auditKey(_ context.Context, args []string, s streams) int {
	f := operatorFlagSet("audit key", "gate audit key [flags]", "Prints the public keys of the checkpoints, in the form of signed notes, for machines that\ncheck them. The last one signs.", s)
	fresh := f.Bool("make", false, "make the key file if it is not there, as gates that share a trail need it")
	if _, code, done := f.operands(args, 0, 0); done {
		return code
	}
	cfg, err := config.Load(f.config, os.Environ())
	if err == nil && cfg.Audit.Keys == "" {
		err = errors.New("audit.keys is empty, so that nothing signs checkpoints")
	}
	var keys *audit.Keys
	if err == nil {
		if *fresh {
			keys, err = audit.OpenKeys(cfg.Audit.Keys, trailName(cfg))
		} else if keys, err = audit.ReadKeys(cfg.Audit.Keys); errors.Is(err, fs.ErrNotExist) {
			err = fmt.Errorf("%w; a gate makes it when it first starts with this configuration, or make it with -make", err)
		}
	}
	if err == nil {
		err = f.print(s.out, map[string]any{"keys": keys.Public()}, func(w io.Writer) {
			fmt.Fprintln(w, strings.Join(keys.Public(), "\n"))
		})
	}
	return fail(s.err, f.Name(), err)
}
