package cookie

import (
	"cmp"
	"fmt"
	"os"
	"slices"
	"time"
)

// Lead is how long a new key only opens before it seals: longer than replicas
// take to read the shared file again, so that none meets a cookie that it
// cannot open, which would sign somebody out.
const Lead = 10 * time.Minute

// State is what a key does at a moment.
type State string

const (
	// Next opens and does not seal yet.
	Next State = "next"
	// Seals is the active key.
	Seals State = "seals"
	// Old only opens what it has sealed.
	Old State = "old"
)

// KeyInfo is what may be shown of a key.
type KeyInfo struct {
	ID string
	// Created and ActiveFrom are zero where the file does not say.
	Created, ActiveFrom time.Time
	State               State
	// Until is when an old key has sealed nothing more for Lead, to which a
	// cookie's life is to be added for the time from which nobody needs it. Zero
	// if that cannot be told, and for the other states.
	Until time.Time
}

// Prunable reports whether no cookie of the given life is left under the key.
func (k KeyInfo) Prunable(now time.Time, life time.Duration) bool {
	return k.State == Old && !k.Until.IsZero() && !now.Before(k.Until.Add(life))
}

// List returns the keys of a ring file as they are at now, in the order of
// their turns.
func List(path string, now time.Time) ([]KeyInfo, error) {
	f, err := openFile(path)
	if err != nil {
		return nil, err
	}
	return f.list(now)
}

// Rotate adds a random key to a ring file; it seals from a time on, and opens as
// soon as a gate has read the file. One at a time may change a file.
func Rotate(path string, now, from time.Time) (KeyInfo, error) {
	f, err := openFile(path)
	if err != nil {
		return KeyInfo{}, err
	}
	if len(f.Keys) >= maxKeys {
		return KeyInfo{}, fmt.Errorf("cookie key ring %s: there are %d keys already, the most that a file may hold; prune first", path, len(f.Keys))
	}
	set, err := f.parse()
	if err != nil {
		return KeyInfo{}, err
	}
	// Which key is active is written down, so that one that somebody made so by
	// hand does not come before what has taken over since.
	f.Active = set.activeAt(now).id
	id := f.add(now, from)
	if err := f.write(path, os.Rename); err != nil {
		return KeyInfo{}, fmt.Errorf("cookie key ring %s: %w", path, err)
	}
	keys, err := f.list(now)
	if err != nil {
		return KeyInfo{}, err
	}
	return keys[slices.IndexFunc(keys, func(k KeyInfo) bool { return k.ID == id })], nil
}

// Prune takes out of a ring file the keys under which no cookie of the given
// life is left, and returns them. One at a time may change a file.
func Prune(path string, now time.Time, life time.Duration) ([]KeyInfo, error) {
	f, err := openFile(path)
	if err != nil {
		return nil, err
	}
	keys, err := f.list(now)
	if err != nil {
		return nil, err
	}
	var gone []KeyInfo
	for _, k := range keys {
		switch {
		case k.State == Seals:
			f.Active = k.ID
		case k.Prunable(now, life):
			gone = append(gone, k)
			f.Keys = slices.DeleteFunc(f.Keys, func(x ringKey) bool { return x.ID == k.ID })
		}
	}
	if len(gone) == 0 {
		return nil, nil
	}
	if err := f.write(path, os.Rename); err != nil {
		return nil, fmt.Errorf("cookie key ring %s: %w", path, err)
	}
	return gone, nil
}

// openFile reads a ring file that holds what a gate would take.
func openFile(path string) (*ringFile, error) {
	f, err := loadRing(path)
	if err == nil {
		_, err = f.parse()
	}
	if err != nil {
		return nil, fmt.Errorf("cookie key ring %s: %w", path, err)
	}
	return &f, nil
}

func (f *ringFile) list(now time.Time) ([]KeyInfo, error) {
	set, err := f.parse()
	if err != nil {
		return nil, err
	}
	active := set.activeAt(now)
	var out []KeyInfo
	for _, k := range f.Keys {
		i := KeyInfo{ID: k.ID, Created: k.Created, ActiveFrom: k.ActiveFrom, State: Old}
		switch {
		case k.ID == active.id:
			i.State = Seals
		case k.ActiveFrom.After(now):
			i.State = Next
		default:
			i.Until = f.replaced(k, active)
		}
		out = append(out, i)
	}
	slices.SortStableFunc(out, func(a, b KeyInfo) int { return cmp.Or(order(a)-order(b), a.ActiveFrom.Compare(b.ActiveFrom)) })
	return out, nil
}

// order puts the old before the active one, and the next after it.
func order(k KeyInfo) int { return map[State]int{Old: 0, Seals: 1, Next: 2}[k.State] }

// replaced tells when an old key had sealed nothing more for Lead: after the
// turn of whichever key came next. A file of hand that names no times does not
// tell.
func (f *ringFile) replaced(old ringKey, active *key) time.Time {
	next := active.from
	for _, k := range f.Keys {
		if k.ActiveFrom.After(old.ActiveFrom) && k.ActiveFrom.Before(next) {
			next = k.ActiveFrom
		}
	}
	if !next.After(old.ActiveFrom) {
		return time.Time{}
	}
	return next.Add(Lead)
}
