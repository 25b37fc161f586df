package webhook

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/neosc/gate/session"
)

// Bounds on secrets, of which the lengths are those of Standard Webhooks.
const (
	secretPrefix   = "whsec_"
	minSecret      = 24
	maxSecret      = 64
	maxSecrets     = 8
	maxSecretsFile = 4 << 10
)

// secrets is a file of them. Safe for concurrent use.
type secrets struct {
	path string

	mu   sync.Mutex
	last [][]byte // as read the last time that it could be
}

// current returns the secrets of the file, or those it had when it could last
// be read: an editor that is half-way through it is no reason to miss an end.
func (s *secrets) current() ([][]byte, error) {
	keys, err := readSecrets(s.path)
	s.mu.Lock()
	defer s.mu.Unlock()
	if err == nil {
		s.last = keys
		return keys, nil
	}
	if s.last != nil {
		return s.last, nil
	}
	return nil, err
}

func readSecrets(path string) ([][]byte, error) {
	if path == "" {
		return nil, errors.New("secrets is empty; name the file of the webhooks' secrets")
	}
	data, err := session.ReadPrivate(path, maxSecretsFile)
	if err != nil {
		return nil, fmt.Errorf("secrets %s: %w", path, err)
	}
	keys, err := parseSecrets(data)
	if err != nil {
		return nil, fmt.Errorf("secrets %s: %w", path, err)
	}
	return keys, nil
}

// parseSecrets reads a secret a line. Errors name the line and never what is in
// it.
func parseSecrets(data []byte) ([][]byte, error) {
	var keys [][]byte
	n := 0
	for line := range bytes.Lines(data) {
		n++
		text := strings.TrimSpace(string(line))
		if text == "" || text[0] == '#' {
			continue
		}
		encoded, ok := strings.CutPrefix(text, secretPrefix)
		if !ok {
			return nil, fmt.Errorf("line %d does not begin with %s", n, secretPrefix)
		}
		key, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(encoded, "="))
		if err != nil {
			return nil, fmt.Errorf("line %d is not base64 after %s", n, secretPrefix)
		}
		if len(key) < minSecret || len(key) > maxSecret {
			return nil, fmt.Errorf("line %d has a secret of %d bytes, want %d to %d (make one: echo %s$(openssl rand -base64 32))", n, len(key), minSecret, maxSecret, secretPrefix)
		}
		keys = append(keys, key)
	}
	switch {
	case len(keys) == 0:
		return nil, fmt.Errorf("has no secret; make one: echo %s$(openssl rand -base64 32)", secretPrefix)
	case len(keys) > maxSecrets:
		return nil, fmt.Errorf("has %d secrets, at most %d are used", len(keys), maxSecrets)
	}
	return keys, nil
}

// sign returns the value of webhook-signature.
func sign(keys [][]byte, id string, at time.Time, body []byte) string {
	var out []string
	for _, k := range keys {
		mac := hmac.New(sha256.New, k)
		mac.Write([]byte(id + "." + strconv.FormatInt(at.Unix(), 10) + "."))
		mac.Write(body)
		out = append(out, "v1,"+base64.StdEncoding.EncodeToString(mac.Sum(nil)))
	}
	return strings.Join(out, " ")
}
