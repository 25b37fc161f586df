package bundles

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/neosc/gate/bundles/archive"
)

// DefaultKeep is how many bundles are kept, the active one among them.
const DefaultKeep = 10

// KeptBundle is one that was active and can be active again.
type KeptBundle struct {
	// ID is that of its archive.
	ID       string `json:"id"`
	Revision string `json:"revision"`
	Sequence uint64 `json:"sequence,omitempty"`
	// Signer is the id of the key that had signed it, "" if none was asked for.
	Signer string `json:"signer,omitempty"`
	// ActivatedAt is when it became active last.
	ActivatedAt time.Time `json:"activated_at"`
}

// keptState is what state.json holds: which bundle a gate begins with, and what
// it has come past.
type keptState struct {
	// Active is the ID of the active bundle.
	Active string `json:"active"`
	// Highest is the highest sequence that was ever active: nothing below it comes
	// again but by an operator.
	Highest uint64 `json:"highest,omitempty"`
	// Left are IDs from which an operator has gone back, so that the source that
	// still has them does not bring them again.
	Left []string `json:"left,omitempty"`
	// Bundles are those that are kept, the one that was active last first.
	Bundles []KeptBundle `json:"bundles"`
}

// find returns the kept bundle of an ID, nil if there is none.
func (s *keptState) find(id string) *KeptBundle {
	for i := range s.Bundles {
		if s.Bundles[i].ID == id {
			return &s.Bundles[i]
		}
	}
	return nil
}

// named returns the kept bundle that a person means: by its revision, or by its
// ID or the beginning of that.
func (s *keptState) named(name string) (*KeptBundle, error) {
	var found *KeptBundle
	for i := range s.Bundles {
		b := &s.Bundles[i]
		switch {
		case b.ID == name || b.Revision == name:
			return b, nil
		case len(name) >= 6 && strings.HasPrefix(b.ID, name):
			if found != nil {
				return nil, fmt.Errorf("%q is the beginning of more than one kept bundle; see gate bundle list", name)
			}
			found = b
		}
	}
	if found == nil {
		return nil, fmt.Errorf("no kept bundle has revision %q; see gate bundle list", name)
	}
	return found, nil
}

// admits says why a bundle of the source does not become active, nil if it may.
func (s *keptState) admits(a *archive.Archive) error {
	m := a.Manifest
	if a.ID == s.Active {
		return nil
	}
	if slices.Contains(s.Left, a.ID) {
		return fmt.Errorf("an operator went back from it; gate bundle rollback %s makes it active again", shown(a))
	}
	if s.Highest > 0 && m.Sequence <= s.Highest {
		return fmt.Errorf("its sequence is %d, and %d was active already; give it a higher one (gate bundle build -sequence), or take a kept one with gate bundle rollback", m.Sequence, s.Highest)
	}
	for i := range s.Bundles {
		if b := &s.Bundles[i]; m.Revision != "" && b.Revision == m.Revision && b.ID != a.ID {
			return fmt.Errorf("revision %s was that of another content, active at %s; a revision names one", m.Revision, b.ActivatedAt.UTC().Format(time.RFC3339))
		}
	}
	return nil
}

func shown(a *archive.Archive) string {
	if a.Manifest.Revision != "" {
		return a.Manifest.Revision
	}
	return a.ID[:16]
}

// kept holds the bundles that were active in a folder, <ID>.tar.gz each, and
// state.json, so that a gate starts with the last good one where its source is
// out of reach. A process that is killed anywhere leaves the state before or the
// one after: each file is whole before it has its name, and a state names only
// bundles that are there.
type kept struct {
	dir  string
	keep int
	step func(string) // tests end the process there
}

const stateFile = "state.json"

// open makes the folder and reads what is in it.
func (k *kept) open() (keptState, error) {
	if err := os.MkdirAll(k.dir, 0o700); err != nil {
		return keptState{}, fmt.Errorf("kept bundles: %w", err)
	}
	return k.read()
}

func (k *kept) read() (s keptState, err error) {
	text, err := os.ReadFile(filepath.Join(k.dir, stateFile))
	if errors.Is(err, fs.ErrNotExist) {
		return s, nil
	}
	if err == nil {
		err = json.Unmarshal(text, &s)
	}
	if err != nil {
		return s, fmt.Errorf("kept bundles: %s: %w; take the folder away to begin anew, with whatever the source has", filepath.Join(k.dir, stateFile), err)
	}
	return s, nil
}

// bundle returns a kept bundle, which is what it was when it was kept.
func (k *kept) bundle(id string) ([]byte, *archive.Archive, error) {
	if strings.Trim(id, "0123456789abcdef") != "" || id == "" {
		return nil, nil, fmt.Errorf("kept bundle %.40q: that is no id", id)
	}
	name := k.file(id)
	packed, err := readBounded(name)
	if err != nil {
		return nil, nil, fmt.Errorf("kept bundle: %w", err)
	}
	a, err := archive.Read(packed)
	if err != nil {
		return nil, nil, fmt.Errorf("kept %s: %w", name, err)
	}
	if a.ID != id {
		return nil, nil, fmt.Errorf("kept bundle %s holds another one than its name says", name)
	}
	return packed, a, nil
}

func (k *kept) file(id string) string { return filepath.Join(k.dir, id+".tar.gz") }

// activate keeps a bundle and has the next start begin with it. back says that an
// operator goes back to it.
func (k *kept) activate(b KeptBundle, packed []byte, back bool) (keptState, error) {
	unlock, err := k.lock()
	if err != nil {
		return keptState{}, fmt.Errorf("kept bundles: %w", err)
	}
	defer unlock()
	s, err := k.read() // a gate that takes this one's place may have written it
	if err != nil {
		return s, err
	}
	if was, err := os.ReadFile(k.file(b.ID)); err != nil || !bytes.Equal(was, packed) {
		if err := k.write(b.ID+".tar.gz", packed); err != nil {
			return s, err
		}
	}
	if back && s.Active != b.ID && s.Active != "" {
		s.Left = append(s.Left, s.Active)
	}
	s.Left = slices.DeleteFunc(s.Left, func(id string) bool { return id == b.ID })
	s.Left = s.Left[max(0, len(s.Left)-k.keep):]
	s.Active, s.Highest = b.ID, max(s.Highest, b.Sequence)
	s.Bundles = slices.DeleteFunc(s.Bundles, func(x KeptBundle) bool { return x.ID == b.ID })
	s.Bundles = slices.Insert(s.Bundles, 0, b)
	s.Bundles = s.Bundles[:min(len(s.Bundles), k.keep)]
	text, err := json.MarshalIndent(s, "", "  ")
	if err == nil {
		err = k.write(stateFile, append(text, '\n'))
	}
	if err == nil {
		k.prune(&s)
	}
	return s, err
}

// write gives a name to a file only when it is whole and on disk.
func (k *kept) write(name string, text []byte) (err error) {
	f, err := os.CreateTemp(k.dir, ".new-*") // mode 0600
	if err != nil {
		return fmt.Errorf("kept bundles: %w", err)
	}
	defer func() {
		if err != nil {
			err = fmt.Errorf("kept bundles: %w", errors.Join(err, os.Remove(f.Name())))
		}
	}()
	k.at("created " + name)
	_, err = f.Write(text)
	k.at("written " + name)
	if err == nil {
		err = f.Sync()
	}
	k.at("synced " + name)
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err = os.Rename(f.Name(), filepath.Join(k.dir, name)); err != nil {
		return err
	}
	k.at("renamed " + name)
	d, err := os.Open(k.dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

func (k *kept) at(step string) {
	if k.step != nil {
		k.step(step)
	}
}

// prune removes bundles that no state names any more, and what killed processes
// have left. What cannot be removed is tried again the next time.
func (k *kept) prune(s *keptState) {
	entries, err := os.ReadDir(k.dir)
	if err != nil {
		return
	}
	for _, e := range entries {
		id, isBundle := strings.CutSuffix(e.Name(), ".tar.gz")
		if strings.HasPrefix(e.Name(), ".new-") || isBundle && s.find(id) == nil {
			k.at("removing " + e.Name())
			_ = os.Remove(filepath.Join(k.dir, e.Name()))
		}
	}
}

// lock keeps two gates, of which one takes the other's place, from writing at
// once; it goes with the process.
func (k *kept) lock() (unlock func(), err error) {
	f, err := os.OpenFile(filepath.Join(k.dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return func() { _ = f.Close() }, nil
}

// HoldKept keeps gates from changing a folder of kept bundles until it is let go, for
// whoever copies it. A folder in which no bundle was ever active is an error with
// fs.ErrNotExist.
func HoldKept(dir string) (letGo func(), err error) {
	// The lock is made by the gate that first keeps something: made here, it could be
	// somebody else's, and be closed to that gate.
	if _, err := os.Stat(filepath.Join(dir, "lock")); err != nil {
		return nil, fmt.Errorf("kept bundles: %w", err)
	}
	return (&kept{dir: dir}).lock()
}

// IsKept reports whether a file of that name is one of a folder of kept bundles.
func IsKept(name string) bool {
	id, isBundle := strings.CutSuffix(name, ".tar.gz")
	return name == stateFile || isBundle && id != "" && strings.Trim(id, "0123456789abcdef") == ""
}
