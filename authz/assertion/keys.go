package assertion

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"slices"
	"time"
)

const (
	// Lead is how long a new key is published before it signs: longer than
	// upstreams may keep the key set (MaxAge) and replicas may take to read the
	// file again, so that none meets a signature whose key it has never heard of.
	Lead = 10 * time.Minute
	// MaxAge is how long an upstream may keep the key set without asking again.
	MaxAge = 5 * time.Minute
	// MaxKeys is how many keys a file holds at most.
	MaxKeys = 16
)

// State is what a key does at a moment.
type State string

const (
	// Next is published and does not sign yet.
	Next State = "next"
	// Signs makes the assertions.
	Signs State = "signs"
	// Old only checks what it has signed.
	Old State = "old"
)

// Key is one signing key. Printing it shows nothing secret.
type Key struct {
	// ID is the JWS header kid.
	ID string
	// Created is when it was made, zero if the file does not say.
	Created time.Time
	// ActiveFrom is when it begins to sign; it is published before.
	ActiveFrom time.Time

	private *ecdsa.PrivateKey
}

// String is the key's id.
func (k Key) String() string { return k.ID }

// Format keeps the private part out of every verb, %#v included.
func (k Key) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(k.ID)) }

// Keys are the keys of a file, sorted by ActiveFrom. Immutable.
type Keys []Key

// Signing returns the key that signs at t: the newest whose time has come.
// Without any, the oldest signs: a clock that is behind must not stop requests.
// There must be a key.
func (ks Keys) Signing(t time.Time) Key { return ks[ks.signing(t)] }

func (ks Keys) signing(t time.Time) int {
	for i := len(ks) - 1; i > 0; i-- {
		if !ks[i].ActiveFrom.After(t) {
			return i
		}
	}
	return 0
}

// StateAt says what the i-th key does at t.
func (ks Keys) StateAt(i int, t time.Time) State {
	switch s := ks.signing(t); {
	case i < s:
		return Old
	case i == s:
		return Signs
	default:
		return Next
	}
}

// Prunable returns how many of the oldest keys nothing valid at t can be signed
// with any more: a younger one has been signing for longer than a token lives,
// and than whoever was late to hear of it may have gone on with the old.
func (ks Keys) Prunable(t time.Time) int {
	for i := len(ks) - 1; i > 0; i-- {
		if !ks[i].ActiveFrom.Add(Life + MaxAge).After(t) {
			return i
		}
	}
	return 0
}

// With returns the keys with a new random one, made now, that signs from a
// time on.
func (ks Keys) With(now, from time.Time) (Keys, error) {
	if len(ks) >= MaxKeys {
		return nil, fmt.Errorf("there are %d keys already, the most that a file may hold; prune first", len(ks))
	}
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("no key can be made: %w", err)
	}
	var id [8]byte
	_, _ = rand.Read(id[:]) // never fails: it would end the process
	k := Key{ID: hex.EncodeToString(id[:]), Created: seconds(now), ActiveFrom: seconds(from), private: private}
	return append(slices.Clone(ks), k).sorted(), nil
}

func seconds(t time.Time) time.Time { return t.UTC().Truncate(time.Second) }

func (ks Keys) sorted() Keys {
	slices.SortStableFunc(ks, func(a, b Key) int { return a.ActiveFrom.Compare(b.ActiveFrom) })
	return ks
}
