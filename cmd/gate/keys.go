package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/neosc/gate/authz/assertion"
	"github.com/neosc/gate/cmd/gate/internal/config"
	"github.com/neosc/gate/session/cookie"
)

func keysCommand() command {
	return verbs("keys", "Show, rotate and prune the keys of the signed identity and of the session cookie", []command{
		{"list", "list keys: which is active, which is next", keysList},
		{"rotate", "add a key that takes over in ten minutes", keysRotate},
		{"prune", "remove keys that nothing valid needs any more", keysPrune},
	})
}

// keyLine is what is shown of a key, never the key.
type keyLine struct {
	// What is "assertion" or "cookie".
	What       string     `json:"what"`
	ID         string     `json:"id"`
	State      string     `json:"state"`
	Created    *time.Time `json:"created,omitempty"`
	ActiveFrom *time.Time `json:"active_from,omitempty"`
	// Prunable: nothing valid needs it.
	Prunable bool `json:"prunable"`
}

// keyRing is one of the two files.
type keyRing struct {
	what, file string
	list       func(now time.Time) ([]keyLine, error)
	// rotate returns the new key, prune those that are gone.
	rotate func(now time.Time) ([]keyLine, error)
	prune  func(now time.Time) ([]keyLine, error)
}

// keysFlags are what the three verbs have in common.
type keysFlags struct {
	*flags
	config, what string
	json         bool
}

func keysFlagSet(verb, purpose string, s streams) *keysFlags {
	f := &keysFlags{flags: flagSet("keys "+verb, "gate keys "+verb+" [-what assertion|cookie] [-config gate.yaml] [-json]", purpose, s)}
	f.StringVar(&f.config, "config", "gate.yaml", "configuration `file`")
	f.StringVar(&f.what, "what", "", "only these `keys`: assertion (the signed identity) or cookie (sessions); both if left out")
	f.BoolVar(&f.json, "json", false, "print JSON")
	return f
}

// run does one thing with each ring that was asked for, and prints the keys
// that it returns.
func (f *keysFlags) run(args []string, s streams, do func(keyRing) ([]keyLine, error), text func(io.Writer, []keyLine)) int {
	if code, done := f.parse(args, 0); done {
		return code
	}
	if f.what != "" && f.what != "assertion" && f.what != "cookie" {
		fmt.Fprintf(s.err, "gate %s: -what is %q; there are assertion and cookie\n", f.Name(), f.what)
		return exitUsage
	}
	cfg, err := config.Load(f.config, os.Environ())
	if err != nil {
		return fail(s.err, f.Name(), err)
	}
	all := []keyLine{}
	var failed error
	for _, ring := range []keyRing{assertionRing(cfg), cookieRing(cfg)} {
		if f.what != "" && f.what != ring.what {
			continue
		}
		lines, err := do(ring)
		if errors.Is(err, fs.ErrNotExist) {
			err = fmt.Errorf("%w; a gate makes it when it first starts with this configuration", err)
		}
		if failed = err; err != nil {
			break
		}
		all = append(all, lines...)
	}
	if failed != nil && len(all) == 0 {
		return fail(s.err, f.Name(), failed)
	}
	// What was done before the failure was done, and is told.
	if !f.json {
		text(s.out, all)
		return fail(s.err, f.Name(), failed)
	}
	e := json.NewEncoder(s.out)
	e.SetIndent("", "  ")
	return fail(s.err, f.Name(), errors.Join(failed, e.Encode(all)))
}

func keysList(_ context.Context, args []string, s streams) int {
	now := time.Now()
	return keysFlagSet("list", "Lists the keys, never what is in them. Times are UTC.", s).run(args, s,
		func(r keyRing) ([]keyLine, error) { return r.list(now) },
		func(w io.Writer, lines []keyLine) { printKeys(w, lines, now) })
}

func keysRotate(_ context.Context, args []string, s streams) int {
	now := time.Now()
	return keysFlagSet("rotate", "Adds a key that takes over in ten minutes, by when every gate and upstream knows it.\nNobody is signed out, and nothing needs to be restarted.", s).run(args, s,
		func(r keyRing) ([]keyLine, error) {
			return locked(r.file, func() ([]keyLine, error) { return r.rotate(now) })
		},
		func(w io.Writer, lines []keyLine) {
			for _, l := range lines {
				fmt.Fprintf(w, "%s: key %s takes over at %s; running gates know it within %s\n", l.What, l.ID, stampText(l.ActiveFrom), keyInterval)
			}
		})
}

func keysPrune(_ context.Context, args []string, s streams) int {
	now := time.Now()
	return keysFlagSet("prune", "Removes old keys once nothing that they made can be valid: assertions live five minutes,\ncookies as long as session.lifetime says now.", s).run(args, s,
		func(r keyRing) ([]keyLine, error) {
			return locked(r.file, func() ([]keyLine, error) { return r.prune(now) })
		},
		func(w io.Writer, lines []keyLine) {
			for _, l := range lines {
				fmt.Fprintf(w, "%s: removed key %s\n", l.What, l.ID)
			}
			if len(lines) == 0 {
				fmt.Fprintln(w, "there is nothing to remove")
			}
		})
}

func printKeys(w io.Writer, lines []keyLine, now time.Time) {
	t := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	fmt.Fprintln(t, "WHAT\tID\tSTATE\tAGE\tACTIVE FROM\tNOTES")
	for _, l := range lines {
		age, notes := "-", "-"
		if l.Created != nil {
			age = ageText(now.Sub(*l.Created))
		}
		if l.Prunable {
			notes = "can be pruned"
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\n", l.What, l.ID, l.State, age, stampText(l.ActiveFrom), notes)
	}
	_ = t.Flush() // an output that is gone has nobody to be told
}

func stampText(t *time.Time) string {
	if t == nil {
		return "-"
	}
	return t.UTC().Format("2006-01-02 15:04:05")
}

// ageText is how old something is, in the two units that a person reads.
func ageText(d time.Duration) string {
	d = max(0, d)
	switch {
	case d >= 48*time.Hour:
		return fmt.Sprintf("%dd", d/(24*time.Hour))
	case d >= time.Hour:
		return fmt.Sprintf("%dh%dm", d/time.Hour, d%time.Hour/time.Minute)
	default:
		return d.Truncate(time.Second).String()
	}
}

func orNone(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

func assertionRing(cfg *config.Config) keyRing {
	file := cfg.Identity.Keys
	lines := func(keys assertion.Keys, now time.Time) (out []keyLine) {
		n := keys.Prunable(now)
		for i, k := range keys {
			out = append(out, keyLine{"assertion", k.ID, string(keys.StateAt(i, now)), orNone(k.Created), orNone(k.ActiveFrom), i < n})
		}
		return out
	}
	return keyRing{"assertion", file,
		func(now time.Time) ([]keyLine, error) {
			keys, err := assertion.Read(file)
			return lines(keys, now), err
		},
		func(now time.Time) ([]keyLine, error) {
			keys, err := assertion.Read(file)
			if err != nil {
				return nil, err
			}
			more, err := keys.With(now, now.Add(assertion.Lead))
			if err != nil {
				return nil, fmt.Errorf("assertion keys %s: %w", file, err)
			}
			if err := more.Write(file); err != nil {
				return nil, err
			}
			return slices.DeleteFunc(lines(more, now), func(l keyLine) bool {
				return slices.ContainsFunc(keys, func(k assertion.Key) bool { return k.ID == l.ID })
			}), nil
		},
		func(now time.Time) ([]keyLine, error) {
			keys, err := assertion.Read(file)
			n := keys.Prunable(now)
			if err != nil || n == 0 {
				return nil, err
			}
			if err := keys[n:].Write(file); err != nil {
				return nil, err
			}
			return lines(keys, now)[:n], nil
		},
	}
}

func cookieRing(cfg *config.Config) keyRing {
	file, life := cfg.Cookie.Keys, cfg.Session.Lifetime
	lines := func(keys []cookie.KeyInfo, now time.Time) (out []keyLine) {
		for _, k := range keys {
			out = append(out, keyLine{"cookie", k.ID, string(k.State), orNone(k.Created), orNone(k.ActiveFrom), k.Prunable(now, life)})
		}
		return out
	}
	return keyRing{"cookie", file,
		func(now time.Time) ([]keyLine, error) {
			keys, err := cookie.List(file, now)
			return lines(keys, now), err
		},
		func(now time.Time) ([]keyLine, error) {
			k, err := cookie.Rotate(file, now, now.Add(cookie.Lead))
			if err != nil {
				return nil, err
			}
			return lines([]cookie.KeyInfo{k}, now), nil
		},
		func(now time.Time) ([]keyLine, error) {
			keys, err := cookie.Prune(file, now, life)
			return lines(keys, now), err
		},
	}
}

// locked does something while no other command changes files in the same
// folder. Readers need no lock: a file is replaced whole.
func locked(file string, do func() ([]keyLine, error)) ([]keyLine, error) {
	d, err := os.Open(filepath.Dir(file))
	if err != nil {
		return nil, err
	}
	defer func() { _ = d.Close() }() // and the lock with it
	if err := syscall.Flock(int(d.Fd()), syscall.LOCK_EX); err != nil {
		return nil, fmt.Errorf("%s cannot be locked: %w", d.Name(), err)
	}
	return do()
}
