package mfa

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/neosc/gate/session"
)

// Flags of authenticator data (WebAuthn Level 3, 6.1).
const (
	present  = 0x01
	verified = 0x04
	attested = 0x40
)

// token is an authenticator with one key, as far as these tests need one.
type token struct {
	key    *ecdsa.PrivateKey
	id     []byte
	user   []byte
	count  uint32
	flags  byte
	origin string
	rp     string
}

func newToken(t testing.TB) *token {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	id := make([]byte, 16)
	_, _ = rand.Read(id)
	return &token{key: k, id: id, flags: present | verified, origin: origin, rp: "gate.kappa4.com"}
}

func b64(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

// challengeOf reads what the browser is given.
func challengeOf(t testing.TB, options []byte) string {
	t.Helper()
	var o struct {
		Challenge        string `json:"challenge"`
		UserVerification string `json:"userVerification"`
		Selection        struct {
			UserVerification string `json:"userVerification"`
		} `json:"authenticatorSelection"`
	}
	if err := json.Unmarshal(options, &o); err != nil || len(o.Challenge) < 22 {
		t.Fatalf("options %s, error %v", options, err)
	}
	if o.UserVerification != "required" && o.Selection.UserVerification != "required" {
		t.Errorf("user verification is not required: %s", options)
	}
	return o.Challenge
}

func (k *token) clientData(kind, challenge string) []byte {
	b, _ := json.Marshal(map[string]any{"type": "webauthn." + kind, "challenge": challenge, "origin": k.origin, "crossOrigin": false})
	return b
}

func (k *token) authData(flags byte, more []byte) []byte {
	rp := sha256.Sum256([]byte(k.rp))
	out := append(rp[:], flags)
	out = binary.BigEndian.AppendUint32(out, k.count)
	return append(out, more...)
}

// create answers navigator.credentials.create, without attestation.
func (k *token) create(t testing.TB, options []byte) []byte {
	t.Helper()
	raw, err := k.key.PublicKey.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	// COSE_Key {1: 2, 3: -7, -1: 1, -2: x, -3: y} (RFC 9053, 7.1.1).
	cose := append([]byte{0xa5, 0x01, 0x02, 0x03, 0x26, 0x20, 0x01, 0x21, 0x58, 0x20}, raw[1:33]...)
	cose = append(append(cose, 0x22, 0x58, 0x20), raw[33:]...)
	more := make([]byte, 16) // the AAGUID of nobody in particular
	more = binary.BigEndian.AppendUint16(more, uint16(len(k.id)))
	more = append(append(more, k.id...), cose...)
	data := k.authData(k.flags|attested, more)
	// {"fmt": "none", "attStmt": {}, "authData": bytes}
	object := append([]byte{0xa3, 0x63}, "fmt"...)
	object = append(append(object, 0x64), "none"...)
	object = append(append(append(object, 0x67), "attStmt"...), 0xa0, 0x68)
	object = append(append(object, "authData"...), 0x58, byte(len(data)))
	object = append(object, data...)
	return k.reply(t, map[string]string{"clientDataJSON": b64(k.clientData("create", challengeOf(t, options))), "attestationObject": b64(object)})
}

// get answers navigator.credentials.get.
func (k *token) get(t testing.TB, options []byte) []byte {
	t.Helper()
	return k.sign(t, challengeOf(t, options))
}

func (k *token) sign(t testing.TB, challenge string) []byte {
	t.Helper()
	k.count++
	client := k.clientData("get", challenge)
	data := k.authData(k.flags, nil)
	h := sha256.Sum256(client)
	digest := sha256.Sum256(append(append([]byte{}, data...), h[:]...))
	signature, err := ecdsa.SignASN1(rand.Reader, k.key, digest[:])
	if err != nil {
		t.Fatal(err)
	}
	response := map[string]string{"clientDataJSON": b64(client), "authenticatorData": b64(data), "signature": b64(signature)}
	if k.user != nil {
		response["userHandle"] = b64(k.user)
	}
	return k.reply(t, response)
}

func (k *token) reply(t testing.TB, response map[string]string) []byte {
	t.Helper()
	b, err := json.Marshal(map[string]any{"id": b64(k.id), "rawId": b64(k.id), "type": "public-key", "clientExtensionResults": map[string]any{}, "response": response})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// add enrols k for u.
func (r *rig) add(t testing.TB, u session.FactorUser, name string, k *token) session.Factor {
	t.Helper()
	options, err := r.BeginPasskey(t.Context(), owner, u)
	if err != nil {
		t.Fatal(err)
	}
	f, err := r.FinishPasskey(t.Context(), owner, u, name, k.create(t, options))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// options begins a check.
func (r *rig) options(t testing.TB, u session.FactorUser) []byte {
	t.Helper()
	o, err := r.BeginPasskeyCheck(t.Context(), owner, u)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func (r *rig) check(t testing.TB, u session.FactorUser, reply []byte) (string, error) {
	t.Helper()
	return r.FinishPasskeyCheck(t.Context(), owner, u, reply, addr)
}

func aPasskeysLife(t *testing.T, r *rig) {
	ctx := t.Context()
	_, err := r.BeginPasskeyCheck(ctx, owner, nora)
	wantErr(t, err, session.ErrNoFactor)
	phone, stick := newToken(t), newToken(t)
	phone.user = []byte(nora.ID)
	added := r.add(t, nora, "  Pixel 8 ", phone)
	r.turn(time.Minute)
	r.add(t, nora, "YubiKey 5C", stick)
	f, err := r.Factors(ctx, nora.ID)
	if err != nil || len(f.Passkeys) != 2 || f.Passkeys[0].Name != "Pixel 8" || f.Passkeys[1].Name != "YubiKey 5C" || !f.Passkeys[0].UsedAt.IsZero() || !f.Enrolled() {
		t.Errorf("%+v, error %v", f, err)
	}
	for name, k := range map[string]*token{"phone": phone, "stick": stick} {
		reply := k.get(t, r.options(t, nora))
		if id, err := r.check(t, nora, reply); err != nil || id != nora.ID {
			t.Errorf("%s: %q, error %v", name, id, err)
		}
		// The challenge is spent.
		_, err := r.check(t, nora, reply)
		wantErr(t, err, session.ErrFactor)
	}
	// A key that says itself whose it is.
	if id, err := r.check(t, session.FactorUser{}, phone.get(t, r.options(t, session.FactorUser{}))); err != nil || id != nora.ID {
		t.Errorf("without a name: %q, error %v", id, err)
	}
	_, err = r.check(t, session.FactorUser{}, stick.get(t, r.options(t, session.FactorUser{})))
	wantErr(t, err, session.ErrFactor) // it does not say
	if err := r.RenamePasskey(ctx, nora.ID, added.ID, "Old phone"); err != nil {
		t.Error(err)
	}
	for _, name := range []string{"", "  ", strings.Repeat("x", 61), "a\nb", "\xff"} {
		wantErr(t, r.RenamePasskey(ctx, nora.ID, added.ID, name), session.ErrFactorName)
	}
	wantErr(t, r.RenamePasskey(ctx, "usr_other", added.ID, "mine"), session.ErrNoFactor)
	wantErr(t, r.RemovePasskey(ctx, "usr_other", added.ID), session.ErrNoFactor)
	old := r.options(t, nora)
	if err := r.RemovePasskey(ctx, nora.ID, added.ID); err != nil {
		t.Error(err)
	}
	_, err = r.check(t, nora, phone.get(t, old))
	wantErr(t, err, session.ErrFactor)
	if f, err := r.Factors(ctx, nora.ID); err != nil || len(f.Passkeys) != 1 {
		t.Errorf("%+v, error %v", f, err)
	}
}

func TestAPasskeyThatDoesNotHoldIsRefused(t *testing.T) {
	t.Parallel()
	other := session.FactorUser{ID: "usr_other", Email: "other@kappa4.com"}
	for name, spoil := range map[string]func(t *testing.T, r *rig, k *token) (options []byte, u session.FactorUser){
		"AnotherOrigin": func(t *testing.T, r *rig, k *token) ([]byte, session.FactorUser) {
			k.origin = "https://portal.kappa4.com"
			return r.options(t, nora), nora
		},
		"AnotherPort": func(t *testing.T, r *rig, k *token) ([]byte, session.FactorUser) {
			k.origin = origin + ":8443"
			return r.options(t, nora), nora
		},
		"AnotherRelyingParty": func(t *testing.T, r *rig, k *token) ([]byte, session.FactorUser) {
			k.rp = "kappa4.com"
			return r.options(t, nora), nora
		},
		"UserNotVerified": func(t *testing.T, r *rig, k *token) ([]byte, session.FactorUser) {
			k.flags = present
			return r.options(t, nora), nora
		},
		"NobodyPresent": func(t *testing.T, r *rig, k *token) ([]byte, session.FactorUser) {
			k.flags = verified
			return r.options(t, nora), nora
		},
		"ChallengeTooOld": func(t *testing.T, r *rig, k *token) ([]byte, session.FactorUser) {
			o := r.options(t, nora)
			r.turn(ceremonyLife)
			return o, nora
		},
		"AnothersChallenge": func(t *testing.T, r *rig, k *token) ([]byte, session.FactorUser) {
			o, err := r.BeginPasskeyCheck(t.Context(), session.ID{9}.Key(), nora)
			if err != nil {
				t.Fatal(err)
			}
			return o, nora
		},
		"NoChallengeOfOurs": func(t *testing.T, r *rig, k *token) ([]byte, session.FactorUser) {
			return []byte(`{"challenge":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA","userVerification":"required"}`), nora
		},
		"AnotherKey": func(t *testing.T, r *rig, k *token) ([]byte, session.FactorUser) {
			k.key = newToken(t).key
			return r.options(t, nora), nora
		},
		"CounterGoesBack": func(t *testing.T, r *rig, k *token) ([]byte, session.FactorUser) {
			if _, err := r.check(t, nora, k.get(t, r.options(t, nora))); err != nil {
				t.Fatal(err)
			}
			k.count = 2
			return r.options(t, nora), nora
		},
		"OfAnotherAccount": func(t *testing.T, r *rig, k *token) ([]byte, session.FactorUser) {
			r.add(t, other, "theirs", newToken(t))
			return r.options(t, other), other
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, sqlite)
			k := newToken(t)
			k.count = 7
			r.add(t, nora, "key", k)
			options, u := spoil(t, r, k)
			if id, err := r.check(t, u, k.get(t, options)); err == nil || id != "" {
				t.Errorf("it opens %q", id)
			} else {
				wantErr(t, err, session.ErrFactor)
			}
		})
	}
}

func TestWhatIsNoReplyIsRefused(t *testing.T) {
	t.Parallel()
	r := newRig(t, sqlite)
	k := newToken(t)
	f := r.add(t, nora, "key", k)
	for _, reply := range []string{"", "{}", "null", "[]", `{"id":"` + f.ID + `"}`, strings.Repeat("[", 60<<10), strings.Repeat(" ", 1<<20), "\xff"} {
		_, err := r.check(t, nora, []byte(reply))
		wantErr(t, err, session.ErrFactor)
		_, err = r.FinishPasskey(t.Context(), owner, nora, "x", []byte(reply))
		wantErr(t, err, session.ErrFactor)
	}
	// The same key again, for whomever.
	options, err := r.BeginPasskey(t.Context(), owner, nora)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(options), f.ID) {
		t.Errorf("the browser is not told of the key that there is: %s", options)
	}
	_, err = r.FinishPasskey(t.Context(), owner, nora, "again", k.create(t, options))
	wantErr(t, err, session.ErrFactor)
	mallory := session.FactorUser{ID: "usr_mallory", Email: "mallory@kappa4.com"}
	if options, err = r.BeginPasskey(t.Context(), owner, mallory); err != nil {
		t.Fatal(err)
	}
	_, err = r.FinishPasskey(t.Context(), owner, mallory, "taken", k.create(t, options))
	wantErr(t, err, session.ErrFactor)
}

func TestAPasskeyCounterGoesUpOnceHoweverManyUseIt(t *testing.T) {
	t.Parallel()
	r := newRig(t, sqlite)
	k := newToken(t)
	k.count = 7
	r.add(t, nora, "key", k)
	a, b := r.options(t, nora), r.options(t, nora)
	first := k.get(t, a)
	k.count-- // a copy of the key counts by itself
	second := k.get(t, b)
	if _, err := r.check(t, nora, first); err != nil {
		t.Error(err)
	}
	_, err := r.check(t, nora, second)
	wantErr(t, err, session.ErrFactor)
}
