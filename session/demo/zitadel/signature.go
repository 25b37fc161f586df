package zitadel

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/neosc/gate/session"
)

// Bounds on signatures. Zitadel's own library takes calls of up to 300 s ago,
// and any from the future; nobody else is to have a call that holds next year.
const (
	maxPast      = 300 * time.Second
	maxFuture    = 30 * time.Second
	maxHeader    = 1 << 10
	maxV1        = 8
	maxKeys      = 8
	maxKeysFile  = 4 << 10
	minKey       = 16
	keysLookedAt = time.Second
)

// signature is a ZITADEL-Signature header: t=<unix>,v1=<hex>[,v1=<hex>].
type signature struct {
	t   string
	at  time.Time
	v1s [][]byte
}

var errSignature = errors.New("no signature of the form t=<unix>,v1=<hex>")

func parseSignature(header string) (s signature, err error) {
	if len(header) > maxHeader {
		return s, errSignature
	}
	for part := range strings.SplitSeq(header, ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(part), "=")
		switch name {
		case "t":
			n, err := strconv.ParseInt(value, 10, 64)
			if err != nil || s.t != "" || strconv.FormatInt(n, 10) != value || n < 0 || n > 1<<40 {
				return signature{}, errSignature
			}
			s.t, s.at = value, time.Unix(n, 0)
		case "v1":
			mac, err := hex.DecodeString(value)
			if err != nil || len(mac) != sha256.Size || len(s.v1s) == maxV1 {
				return signature{}, errSignature
			}
			s.v1s = append(s.v1s, mac)
		}
	}
	if s.t == "" || len(s.v1s) == 0 {
		return signature{}, errSignature
	}
	return s, nil
}

// inTime reports whether a call was made about now.
func (s *signature) inTime(now time.Time) bool {
	age := now.Sub(s.at)
	return age <= maxPast && age >= -maxFuture
}

// by reports whether one of the keys made the signature, in the same time
// whichever it is.
func (s *signature) by(keys [][]byte, body []byte) (ok bool) {
	for _, k := range keys {
		mac := hmac.New(sha256.New, k)
		mac.Write([]byte(s.t + "."))
		mac.Write(body)
		want := mac.Sum(nil)
		for _, v1 := range s.v1s {
			ok = hmac.Equal(v1, want) || ok
		}
	}
	return ok
}

// keyFile is a file of signing keys, one a line, as Zitadel shows them when a
// target is made. Safe for concurrent use.
type keyFile struct {
	path string

	mu   sync.Mutex
	keys [][]byte
	at   time.Time // of the last look
}

// current returns the keys of the file, a second old at most; those that it had
// last if it cannot be read.
func (f *keyFile) current(now time.Time) ([][]byte, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.keys != nil && now.Sub(f.at).Abs() < keysLookedAt {
		return f.keys, nil
	}
	keys, err := readKeys(f.path)
	if err != nil && f.keys == nil {
		return nil, err
	}
	if f.at = now; err == nil {
		f.keys = keys
	}
	return f.keys, nil
}

func readKeys(path string) ([][]byte, error) {
	if path == "" {
		return nil, errors.New("keys_file is empty; name the file of the target's signing key")
	}
	data, err := session.ReadPrivate(path, maxKeysFile)
	if err != nil {
		return nil, fmt.Errorf("keys_file %s: %w", path, err)
	}
	var keys [][]byte
	for line := range bytes.Lines(data) {
		key := bytes.TrimSpace(line)
		if len(key) == 0 || key[0] == '#' {
			continue
		}
		if len(key) < minKey {
			return nil, fmt.Errorf("keys_file %s: has a key of %d bytes, want the signing key of a target, one a line", path, len(key))
		}
		keys = append(keys, bytes.Clone(key))
	}
	if len(keys) == 0 || len(keys) > maxKeys {
		return nil, fmt.Errorf("keys_file %s: has %d keys, want 1 to %d, one a line", path, len(keys), maxKeys)
	}
	return keys, nil
}
