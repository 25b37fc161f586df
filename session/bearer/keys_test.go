package bearer_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/neosc/gate/session"
	"github.com/neosc/gate/session/bearer"
)

// TestUnknownKeyIDsCostFewFetches sends a thousand key ids that nobody knows.
func TestUnknownKeyIDsCostFewFetches(t *testing.T) {
	r := newRig(t, nil)
	r.accept(t, r.token(t, nil))
	for i := range 1000 {
		r.refuse(t, r.key.sign(t, map[string]any{"kid": fmt.Sprint("x", i)}, r.claims(nil)), "key")
		r.clock.Advance(50 * time.Millisecond)
	}
	// 50 s at one in 10 s.
	if n := r.idp.jwks.Load(); n > 6 {
		t.Errorf("%d fetches of the keys for 1000 made-up key ids, want at most 6", n)
	}
	r.accept(t, r.token(t, nil))
}

func TestParallelFirstTokensShareOneFetch(t *testing.T) {
	r := newRig(t, nil)
	token := r.token(t, nil)
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			if _, err := r.ask(token); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if n := r.idp.jwks.Load(); n != 1 {
		t.Errorf("%d fetches of the keys, want 1", n)
	}
}

func TestOneBadKeyDisablesNoOther(t *testing.T) {
	bad := map[string]string{
		"NoKeyType":        `{"kid":"b"}`,
		"UnknownKeyType":   `{"kty":"XYZ","kid":"b"}`,
		"UnknownCurve":     `{"kty":"EC","crv":"P-999","x":"AA","y":"AA","kid":"b"}`,
		"OffTheCurve":      `{"kty":"EC","crv":"P-256","x":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA","y":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAE","kid":"b"}`,
		"NoModulus":        `{"kty":"RSA","e":"AQAB","kid":"b"}`,
		"NoBase64":         `{"kty":"RSA","n":"???","e":"AQAB","kid":"b"}`,
		"BrokenCert":       `{"kty":"RSA","n":"AQAB","e":"AQAB","x5c":["nope"],"kid":"b"}`,
		"Number":           `7`,
		"Null":             `null`,
		"NumericKeyID":     `{"kty":"EC","kid":7}`,
		"Symmetric":        `{"kty":"oct","k":"AAAA","kid":"b","alg":"HS256"}`,
		"ForEncryption":    `{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo","use":"enc","kid":"b"}`,
		"ForSigningOnly":   `{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo","key_ops":["sign"],"kid":"b"}`,
		"EmptyKey":         `{"kty":"OKP","crv":"Ed25519","x":"","kid":"b"}`,
		"UnknownAlgorithm": `{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo","alg":"XX1","kid":"b"}`,
		"LongKeyID":        `{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo","kid":"` + strings.Repeat("k", 300) + `"}`,
		"TooWeak":          string((&key{"b", "RS256", weakKey()}).jwk()),
		"Private":          string(must(json.Marshal(jose.JSONWebKey{Key: newECKey("b").private, KeyID: "b"}))),
	}
	for name, text := range bad {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, nil)
			for _, keys := range [][]json.RawMessage{{json.RawMessage(text), r.key.jwk()}, {r.key.jwk(), json.RawMessage(text)}} {
				r.idp.set(func() { r.idp.keys = keys })
				r.clock.Advance(11 * time.Minute)
				r.accept(t, r.token(t, nil))
			}
			r.refuse(t, r.key.sign(t, map[string]any{"kid": "b"}, r.claims(nil)), "key")
		})
	}
}

func TestKeySetsThatAreNone(t *testing.T) {
	good := newECKey("k1")
	var many []json.RawMessage
	for range 65 {
		many = append(many, good.jwk())
	}
	for name, body := range map[string]string{
		"NoJSON":      `<html>`,
		"NoKeys":      `{}`,
		"KeysNoList":  `{"keys":{}}`,
		"TooMany":     `{"keys":` + string(must(json.Marshal(many))) + `}`,
		"TooLong":     `{"keys":[],"x":"` + strings.Repeat("x", 256<<10) + `"}`,
		"NoneUsable":  `{"keys":[{"kty":"oct","k":"AAAA"}]}`,
		"DeeplyWrong": strings.Repeat("[", 100_000),
	} {
		t.Run(name, func(t *testing.T) {
			s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(body)) }))
			defer s.Close()
			r := newRig(t, func(o *bearer.Options) { o.Providers[0].JWKSURL = s.URL })
			r.unavailable(t, r.token(t, nil))
		})
	}
}

func TestRotation(t *testing.T) {
	r := newRig(t, nil)
	old := r.token(t, nil)
	r.accept(t, old)
	r.clock.Advance(time.Minute)

	// A new key beside the old one is found by the first token of it.
	next := newEdKey("k2")
	r.idp.publish(r.key, next)
	r.accept(t, next.sign(t, nil, r.claims(nil)))
	r.accept(t, old)
	if n := r.idp.jwks.Load(); n != 2 {
		t.Errorf("%d fetches of the keys, want 2", n)
	}

	// The old one is withdrawn: after the refresh its tokens are dead, though
	// they were remembered.
	r.idp.publish(next)
	r.clock.Advance(5 * time.Minute)
	fetched := r.idp.jwks.Load()
	r.accept(t, old) // sets the refresh off, which it does not wait for
	await(t, func() bool { _, err := r.ask(old); return err != nil })
	r.refuse(t, old, "key")
	if n := r.idp.jwks.Load() - fetched; n != 1 {
		t.Errorf("%d fetches of the keys, want 1", n)
	}
	r.accept(t, next.sign(t, nil, r.claims(nil)))
}

// await waits for what another goroutine is about to do.
func await(t testing.TB, done func() bool) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); !done(); runtime.Gosched() {
		if time.Now().After(end) {
			t.Fatal("it did not come about")
		}
	}
}

// TestAKeyThatIsReplacedUnderItsIDTakesItsTokensAlong: the id is not the key.
func TestAKeyThatIsReplacedUnderItsIDTakesItsTokensAlong(t *testing.T) {
	r := newRig(t, nil)
	old := r.token(t, nil)
	r.accept(t, old)
	r.idp.publish(newECKey("k1"))
	r.clock.Advance(11 * time.Minute)
	r.refuse(t, old, "signature")
}

func TestAfterAPauseKeysAreWaitedFor(t *testing.T) {
	r := newRig(t, nil)
	old := r.token(t, nil)
	r.accept(t, old)
	r.idp.publish()
	r.clock.Advance(11 * time.Minute)
	r.refuse(t, old, "key")
}

func TestUnchangedKeysKeepTokensRemembered(t *testing.T) {
	r := newRig(t, nil)
	token := r.token(t, nil)
	s := r.accept(t, token)
	for range 5 {
		n := r.idp.jwks.Load()
		r.clock.Advance(6 * time.Minute)
		if r.accept(t, token) != s {
			t.Fatal("the token was verified anew")
		}
		await(t, func() bool { return r.idp.jwks.Load() == n+1 })
	}
}

func TestAProviderThatIsAway(t *testing.T) {
	r := newRig(t, nil)
	known := r.token(t, map[string]any{"exp": base.Add(10 * time.Hour).Unix()})
	fresh := func() string {
		return r.token(t, map[string]any{"jti": fmt.Sprint(r.clock.Now()), "exp": base.Add(10 * time.Hour).Unix()})
	}
	r.idp.set(func() { r.idp.fail = http.StatusInternalServerError })
	r.unavailable(t, known)
	r.clock.Advance(time.Second)
	r.unavailable(t, known)
	if n := r.idp.metadata.Load(); n != 1 {
		t.Errorf("asked %d times within 10 s, want once", n)
	}

	r.idp.set(func() { r.idp.fail = 0 })
	r.clock.Advance(10 * time.Second)
	r.accept(t, known)

	// Keys that are there go on for an hour, unknown ids cannot be told.
	r.idp.set(func() { r.idp.fail = http.StatusInternalServerError })
	for range 11 {
		r.clock.Advance(5 * time.Minute)
		r.accept(t, known)
		r.accept(t, fresh())
	}
	r.clock.Advance(time.Minute)
	r.unavailable(t, r.key.sign(t, map[string]any{"kid": "k2"}, r.claims(map[string]any{"exp": base.Add(10 * time.Hour).Unix()})))
	r.clock.Advance(5 * time.Minute)
	r.unavailable(t, known)
	r.unavailable(t, fresh())

	r.idp.set(func() { r.idp.fail = 0 })
	r.clock.Advance(11 * time.Second)
	r.accept(t, known)
}

func TestMetadataOfAnotherIssuer(t *testing.T) {
	for name, change := range map[string]func(map[string]any){
		"OtherIssuer":    func(d map[string]any) { d["issuer"] = "https://evil.example" },
		"Slash":          func(d map[string]any) { d["issuer"] = d["issuer"].(string) + "/" },
		"NoIssuer":       func(d map[string]any) { delete(d, "issuer") },
		"NoKeys":         func(d map[string]any) { delete(d, "jwks_uri") },
		"KeysInTheClear": func(d map[string]any) { d["jwks_uri"] = "http://keys.example/" },
		"KeysInAFile":    func(d map[string]any) { d["jwks_uri"] = "file:///etc/passwd" },
		"TooLong":        func(d map[string]any) { d["x"] = strings.Repeat("x", 256<<10) },
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, nil)
			r.idp.set(func() { change(r.idp.document) })
			r.unavailable(t, r.token(t, nil))
		})
	}
}

func TestRedirectsAreNotFollowed(t *testing.T) {
	var asked atomic.Int64
	r := newRig(t, nil)
	elsewhere := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		_, _ = w.Write(must(json.Marshal(map[string]any{"keys": []json.RawMessage{r.key.jwk()}})))
	}))
	defer elsewhere.Close()
	for _, status := range []int{301, 302, 303, 307, 308} {
		s := httptest.NewServer(http.RedirectHandler(elsewhere.URL, status))
		r2 := newRig(t, func(o *bearer.Options) {
			o.Providers[0].JWKSURL = s.URL
			o.Client = &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return nil }}
		})
		r2.unavailable(t, r2.token(t, nil))
		s.Close()
	}
	if asked.Load() != 0 {
		t.Error("a redirect was followed")
	}
}

// TestOneWhoGoesAwayCostsTheOthersNothing cancels the request that set the
// fetch off.
func TestOneWhoGoesAwayCostsTheOthersNothing(t *testing.T) {
	r := newRig(t, nil)
	gate := make(chan struct{})
	r.idp.set(func() { r.idp.gate = gate })
	token := r.token(t, nil)
	ctx, cancel := context.WithCancel(context.Background())
	gone := make(chan error)
	go func() {
		_, err := r.ByBearer(ctx, token, base)
		gone <- err
	}()
	await(t, func() bool { return r.idp.metadata.Load() == 1 })
	cancel()
	if err := <-gone; !errors.Is(err, session.ErrUnavailable) {
		t.Errorf("who went away got %v", err)
	}
	close(gate)
	r.accept(t, token)
}

// TestATokenWithoutAKeyID is taken only where there is no choice.
func TestATokenWithoutAKeyID(t *testing.T) {
	r := newRig(t, nil)
	payload := must(json.Marshal(r.claims(nil)))
	signer := must(jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: r.key.private}, (&jose.SignerOptions{}).WithType("at+jwt")))
	token := must(must(signer.Sign(payload)).CompactSerialize())
	r.accept(t, token)
	r.idp.publish(r.key, newECKey("k2"))
	r.clock.Advance(11 * time.Minute)
	r.accept(t, token) // it was verified, and its key is still there
	other := must(must(signer.Sign(must(json.Marshal(r.claims(map[string]any{"jti": "t2"}))))).CompactSerialize())
	r.refuse(t, other, "key")
}
