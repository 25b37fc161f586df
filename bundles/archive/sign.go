package archive

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/open-policy-agent/opa/v1/bundle"
)

// SignOptions say what a signature states beside the files.
type SignOptions struct {
	Key PrivateKey
	// KeyID stands for Key.ID if it is set.
	KeyID string
	// Issuer is who signs; may be "".
	Issuer string
	// Scope must be that of whoever verifies; mostly "".
	Scope string
	// Now goes into the signature; Expires is when it ends to hold, zero is never.
	Now, Expires time.Time
}

// statement is the payload of a signature, as OPA has it.
type statement struct {
	Files    []signedFile `json:"files"`
	KeyID    string       `json:"keyid,omitempty"`
	Scope    string       `json:"scope,omitempty"`
	Issuer   string       `json:"iss,omitempty"`
	IssuedAt int64        `json:"iat,omitempty"`
	Before   int64        `json:"nbf,omitempty"`
	Expires  int64        `json:"exp,omitempty"`
}

type signedFile struct {
	Name      string `json:"name"`
	Hash      string `json:"hash"`
	Algorithm string `json:"algorithm"`
}

// Sign returns a bundle with a signature over all its files, in the place of the
// one it may have. OPA verifies it too. With an Ed25519 key the same input gives
// the same bytes.
func Sign(packed []byte, o SignOptions) ([]byte, error) {
	a, err := Read(packed)
	if err != nil {
		return nil, err
	}
	if o.KeyID == "" {
		o.KeyID = o.Key.ID
	}
	if !o.Expires.IsZero() && !o.Expires.After(o.Now) {
		return nil, errors.New("bundle: the signature would be expired from the beginning")
	}
	s := statement{KeyID: o.KeyID, Scope: o.Scope, Issuer: o.Issuer, IssuedAt: o.Now.Unix()}
	if !o.Expires.IsZero() {
		s.Expires = o.Expires.Unix()
	}
	files := slices.Clone(a.Files)
	if a.manifest != nil {
		files = append(files, *a.manifest)
	}
	for i := range files {
		sum, err := digest(&files[i], sha256.New().Size())
		if err != nil {
			return nil, fmt.Errorf("bundle: %s: %w", files[i].Name, err)
		}
		s.Files = append(s.Files, signedFile{Name: files[i].Name, Hash: hex.EncodeToString(sum), Algorithm: string(bundle.SHA256)})
	}
	slices.SortFunc(s.Files, func(a, b signedFile) int { return strings.Compare(a.Name, b.Name) })
	token, err := o.token(s)
	if err != nil {
		return nil, fmt.Errorf("bundle: signature: %w", err)
	}
	text, err := marshal(map[string][]string{"signatures": {token}})
	if err != nil {
		return nil, err
	}
	return pack(append(files, File{Name: signaturesName, Text: text}))
}

func (o *SignOptions) token(s statement) (string, error) {
	payload, err := json.Marshal(s)
	if err != nil {
		return "", err
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: algorithmOf(o.Key.key), Key: o.Key.key},
		(&jose.SignerOptions{}).WithHeader("kid", o.KeyID).WithType("JWT"))
	if err != nil {
		return "", err
	}
	signed, err := signer.Sign(payload)
	if err != nil {
		return "", err
	}
	return signed.CompactSerialize()
}
