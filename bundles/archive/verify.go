package archive

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/open-policy-agent/opa/v1/bundle"
	"github.com/open-policy-agent/opa/v1/util"
)

// Errors of Verify, for whoever has to tell them apart.
var (
	ErrUnsigned = errors.New("is not signed")
	ErrExpired  = errors.New("signature has expired")
)

// Trust is whose signatures count.
type Trust struct {
	// Keys are those that bundles may be signed by. With none, none is verified.
	Keys []PublicKey
	// Scope is what a signature must state as its scope.
	Scope string
}

// Signature is what is known of one that holds.
type Signature struct {
	KeyID, Algorithm, Issuer string
	// IssuedAt and ExpiresAt are zero where it does not state them.
	IssuedAt, ExpiresAt time.Time
}

// leeway is how far the clock of whoever signed may go before this one's.
const leeway = time.Minute

// Verify returns the signature that holds for every file of a: made by a key of
// t, of its scope, at a time that has come. One that ended to hold is returned
// with ErrExpired. A file that is not signed, or signed and not there, is as bad
// as one with another content.
func (t *Trust) Verify(a *Archive, now time.Time) (Signature, error) {
	s, stated, err := t.stated(a, now)
	if err == nil {
		err = a.asSigned(&s, stated, now)
	}
	return s, a.named(err)
}

// Read is Read and Verify for what anybody on the way may have sent: no data is
// decoded before it is known that somebody who is trusted has signed files of just
// these names. An archive whose signature does not hold is returned with the
// error, for its name; its data is not decoded.
func (t *Trust) Read(packed []byte, now time.Time) (*Archive, Signature, error) {
	a, err := unpacked(packed)
	if err != nil {
		return nil, Signature{}, fmt.Errorf("bundle: %w", err)
	}
	s, stated, err := t.stated(a, now)
	if err != nil {
		return a, s, a.named(err)
	}
	if err := a.decode(); err != nil {
		return nil, s, fmt.Errorf("bundle: %w", err)
	}
	return a, s, a.named(a.asSigned(&s, stated, now))
}

// named says which bundle an error is about.
func (a *Archive) named(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", strings.TrimSpace("bundle "+a.Manifest.Revision), err)
}

// stated is all of verifying that needs no data: whose signature it is, what it
// states, and that it does for the files that there are.
func (t *Trust) stated(a *Archive, now time.Time) (s Signature, stated statement, err error) {
	switch len(a.signatures) {
	case 0:
		return s, stated, fmt.Errorf("%w; sign it with gate bundle sign or opa sign", ErrUnsigned)
	case 1:
	default:
		return s, stated, fmt.Errorf("%s has %d signatures; one is taken", signaturesName, len(a.signatures))
	}
	payload, s, err := t.opened(a.signatures[0])
	if err != nil {
		return s, stated, err
	}
	if err := json.Unmarshal(payload, &stated); err != nil {
		return s, stated, fmt.Errorf("signature by %s: its payload is not what OPA writes: %w", s.KeyID, err)
	}
	s.Issuer, s.IssuedAt, s.ExpiresAt = stated.Issuer, instant(stated.IssuedAt), instant(stated.Expires)
	if stated.Scope != t.Scope {
		return s, stated, fmt.Errorf("signature by %s is of scope %.100q; this gate wants %q", s.KeyID, stated.Scope, t.Scope)
	}
	if from := instant(max(stated.IssuedAt, stated.Before)); from.After(now.Add(leeway)) {
		return s, stated, fmt.Errorf("signature by %s holds from %s on only; are both clocks right?", s.KeyID, from.Format(time.RFC3339))
	}
	if err := a.signedNames(stated.Files); err != nil {
		return s, stated, fmt.Errorf("signature by %s: %w", s.KeyID, err)
	}
	return s, stated, nil
}

// asSigned holds the content against what s states, and then its end against now.
func (a *Archive) asSigned(s *Signature, stated statement, now time.Time) error {
	if err := a.matches(stated.Files); err != nil {
		return fmt.Errorf("signature by %s: %w", s.KeyID, err)
	}
	if !s.ExpiresAt.IsZero() && !now.Before(s.ExpiresAt) {
		return fmt.Errorf("%w at %s; sign the bundle anew", ErrExpired, s.ExpiresAt.Format(time.RFC3339))
	}
	return nil
}

func instant(seconds int64) time.Time {
	if seconds == 0 {
		return time.Time{}
	}
	return time.Unix(seconds, 0).UTC()
}

// opened tries the key that a token names, then the others: its name proves
// nothing, and keys in PEM have none that both sides know.
func (t *Trust) opened(token string) ([]byte, Signature, error) {
	signed, err := jose.ParseSignedCompact(token, []jose.SignatureAlgorithm{jose.ES256, jose.EdDSA})
	if err != nil {
		return nil, Signature{}, fmt.Errorf("%s: the signature is no JWT of ES256 or EdDSA", signaturesName)
	}
	h := signed.Signatures[0].Header
	keys := slices.Clone(t.Keys)
	slices.SortStableFunc(keys, func(a, b PublicKey) int { return cmp.Compare(btoi(b.ID == h.KeyID), btoi(a.ID == h.KeyID)) })
	for _, k := range keys {
		if k.Algorithm() != h.Algorithm {
			continue
		}
		if payload, err := signed.Verify(k.Key); err == nil {
			return payload, Signature{KeyID: k.ID, Algorithm: h.Algorithm}, nil
		}
	}
	var ids []string
	for _, k := range t.Keys {
		ids = append(ids, k.ID)
	}
	return nil, Signature{}, fmt.Errorf("no key that is trusted (%s) has made the signature, which names key %.100q; sign it with one of those, or add its key to policy.verify.keys", strings.Join(ids, ", "), h.KeyID)
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

// all are the files that are signed.
func (a *Archive) all() []File {
	if a.manifest == nil {
		return a.Files
	}
	return append(slices.Clone(a.Files), *a.manifest)
}

func signedName(f signedFile) string { return strings.TrimPrefix(f.Name, "/") }

// signedNames holds the names of the files against those that are signed.
func (a *Archive) signedNames(signed []signedFile) error {
	want := map[string]bool{}
	for _, f := range signed {
		name := signedName(f)
		if want[name] {
			return fmt.Errorf("it names %.100q twice", name)
		}
		want[name] = true
	}
	for _, f := range a.all() {
		if !want[f.Name] {
			return fmt.Errorf("%s is not signed; sign the bundle after the last change to it", f.Name)
		}
		delete(want, f.Name)
	}
	for name := range want {
		return fmt.Errorf("%.100q is signed and not there", name)
	}
	return nil
}

// matches holds the content of the files against what is signed for their names,
// which signedNames has found.
func (a *Archive) matches(signed []signedFile) error {
	want := map[string]signedFile{}
	for _, f := range signed {
		want[signedName(f)] = f
	}
	all := a.all()
	for i := range all {
		f := &all[i]
		w := want[f.Name]
		size := map[string]int{string(bundle.SHA256): sha256.Size, string(bundle.SHA384): sha512.Size384, string(bundle.SHA512): sha512.Size}[w.Algorithm]
		if size == 0 {
			return fmt.Errorf("%s: hash algorithm %.40q is not taken; SHA-256, SHA-384 and SHA-512 are", f.Name, w.Algorithm)
		}
		sum, err := digest(f, size)
		if err != nil {
			return fmt.Errorf("%s: %w", f.Name, err)
		}
		if said, err := hex.DecodeString(w.Hash); err != nil || !bytes.Equal(said, sum) {
			return fmt.Errorf("%s is not as it was signed; sign the bundle after the last change to it", f.Name)
		}
	}
	return nil
}

// digest hashes a file as OPA does: documents by their values, whatever blanks
// and order of keys they have.
func digest(f *File, size int) ([]byte, error) {
	h, err := bundle.NewSignatureHasher(map[int]bundle.HashingAlgorithm{sha256.Size: bundle.SHA256, sha512.Size384: bundle.SHA384, sha512.Size: bundle.SHA512}[size])
	if err != nil {
		return nil, err
	}
	switch v := f.Value; {
	case v == nil && !f.Data():
		return h.HashFile(f.Text)
	case yamlData(baseOf(f.Name)): // by OPA's reading, in which numbers may have another form
		if err := util.Unmarshal(f.Text, &v); err != nil {
			return nil, err
		}
		return h.HashFile(v)
	default:
		return h.HashFile(v)
	}
}

// signaturesOf reads .signatures.json.
func signaturesOf(text []byte) ([]string, error) {
	if _, err := decodeJSON(text, &budget{left: maxDecodedSmall}); err != nil { // keys that are there twice
		return nil, err
	}
	var f struct {
		Signatures []string `json:"signatures"`
		Plugin     string   `json:"plugin"`
	}
	if err := json.Unmarshal(text, &f); err != nil {
		return nil, err
	}
	if f.Plugin != "" && f.Plugin != "_default" { // as OPA names its own form
		return nil, fmt.Errorf("names plugin %.40q, which this gate does not have", f.Plugin)
	}
	return f.Signatures, nil
}

// Signed reports whether there is a signature, of whatever worth.
func (a *Archive) Signed() bool { return len(a.signatures) > 0 }
