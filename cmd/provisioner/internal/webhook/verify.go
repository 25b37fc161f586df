package webhook

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// The headers of a message.
const (
	headerID        = "Webhook-Id"
	headerTimestamp = "Webhook-Timestamp"
	headerSignature = "Webhook-Signature"
)

const (
	// tolerance is how far a message's time may be from ours. What was ended is
	// remembered for longer than both sides of it together.
	tolerance = 5 * time.Minute
	// mostSignatures bounds the work that a header can ask for: two keys while
	// they are being changed are usual.
	mostSignatures = 8
	mostID         = 128
	// leastSecret is in bytes: Standard Webhooks asks for 24 to 64.
	leastSecret, mostSecret = 24, 64
)

// errs of messages that nobody may have sent; the reply tells none apart.
var (
	errHeaders   = errors.New("the webhook headers are missing or malformed")
	errLate      = errors.New("the message is too old or from the future")
	errSignature = errors.New("no signature is right")
)

// Secrets are the keys that messages may be signed with.
type Secrets [][]byte

// ParseSecrets reads one whsec_<base64> a line; empty lines and those that begin
// with # do not count. Errors name the line and hold nothing of it.
func ParseSecrets(file []byte) (Secrets, error) {
	var all Secrets
	n := 0
	for line := range bytes.Lines(file) {
		n++
		line = bytes.TrimSpace(line)
		if len(line) == 0 || line[0] == '#' {
			continue
		}
		text, ok := bytes.CutPrefix(line, []byte("whsec_"))
		if !ok {
			return nil, fmt.Errorf("line %d: a secret begins with whsec_", n)
		}
		key, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(string(text), "="))
		if err != nil {
			return nil, fmt.Errorf("line %d: what follows whsec_ is not base64", n)
		}
		if len(key) < leastSecret || len(key) > mostSecret {
			return nil, fmt.Errorf("line %d: the secret has %d bytes; want %d to %d", n, len(key), leastSecret, mostSecret)
		}
		all = append(all, key)
	}
	if len(all) == 0 {
		return nil, errors.New("there is no secret in it; make one with: echo whsec_$(openssl rand -base64 32)")
	}
	if len(all) > mostSignatures {
		return nil, fmt.Errorf("there are %d secrets in it; want at most %d", len(all), mostSignatures)
	}
	return all, nil
}

// Verify checks that one of the secrets' owners sent this body about now.
func (s Secrets) Verify(h http.Header, body []byte, now time.Time) error {
	for _, name := range []string{headerID, headerTimestamp, headerSignature} {
		// Of two values nobody could say which was signed.
		if len(h.Values(name)) != 1 {
			return errHeaders
		}
	}
	id, stamp := h.Get(headerID), h.Get(headerTimestamp)
	seconds, err := strconv.ParseInt(stamp, 10, 64)
	// A dot in the id moves nothing from one part to another: no time and no body
	// that is read here begins as the other does.
	if err != nil || id == "" || len(id) > mostID || stamp != strconv.FormatInt(seconds, 10) {
		return errHeaders
	}
	if sent := time.Unix(seconds, 0); sent.Before(now.Add(-tolerance)) || sent.After(now.Add(tolerance)) {
		return errLate
	}
	given := strings.Fields(h.Get(headerSignature))
	if len(given) > mostSignatures {
		return errHeaders
	}
	right := false
	for _, secret := range s {
		want := sum(secret, id, stamp, body)
		for _, g := range given {
			text, ok := strings.CutPrefix(g, "v1,")
			if !ok {
				continue // another version's, for others
			}
			got, err := base64.StdEncoding.DecodeString(text)
			right = err == nil && hmac.Equal(got, want) || right
		}
	}
	if !right {
		return errSignature
	}
	return nil
}

func sum(secret []byte, id, stamp string, body []byte) []byte {
	m := hmac.New(sha256.New, secret)
	_, _ = fmt.Fprintf(m, "%s.%s.", id, stamp)
	_, _ = m.Write(body)
	return m.Sum(nil)
}

// Sign sets the headers of a message as the gate does, with one signature for
// each secret.
func (s Secrets) Sign(h http.Header, id string, sent time.Time, body []byte) {
	stamp := strconv.FormatInt(sent.Unix(), 10)
	all := make([]string, len(s))
	for i, secret := range s {
		all[i] = "v1," + base64.StdEncoding.EncodeToString(sum(secret, id, stamp, body))
	}
	h.Set(headerID, id)
	h.Set(headerTimestamp, stamp)
	h.Set(headerSignature, strings.Join(all, " "))
}
