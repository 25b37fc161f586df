package verify_test

import (
	"context"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/neosc/gate/session/verify"
)

func check(t *testing.T, v *verify.Verifier, token string) error {
	t.Helper()
	_, err := v.Verify(t.Context(), token)
	return err
}

func TestTheKeySetIsFetchedOnceAndAgainWhenOld(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	v := w.verifier()
	tok := token(t, w.key, nil, claims(with("exp", noon.Add(24*time.Hour).Unix())))
	for i, want := range []int64{1, 1, 1, 2, 2} {
		if err := check(t, v, tok); err != nil {
			t.Fatal(err)
		}
		if n := w.fetch.Load(); n != want {
			t.Errorf("after look %d: %d fetches, want %d", i, n, want)
		}
		w.later(2*time.Minute - time.Second)
	}
}

func TestUnknownKeyIDsAskAtMostOnceInTenSeconds(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	v := w.verifier()
	if err := check(t, v, token(t, w.key, nil, claims())); err != nil {
		t.Fatal(err)
	}
	for i := range 600 { // a minute of ten a second
		err := check(t, v, token(t, w.key, map[string]any{"kid": fmt.Sprintf("x%d", i)}, claims()))
		if !errors.Is(err, verify.ErrInvalid) {
			t.Fatal(err)
		}
		w.later(100 * time.Millisecond)
	}
	if n := w.fetch.Load(); n < 2 || n > 7 {
		t.Errorf("%d fetches in a minute, want at most 7", n)
	}
}

func TestANewKeyIsFoundWhenItIsPublished(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	v := w.verifier()
	next := newKey(t, elliptic.P256())
	tok := token(t, next, map[string]any{"kid": "k2"}, claims())
	if err := check(t, v, tok); !errors.Is(err, verify.ErrInvalid) {
		t.Fatal(err)
	}
	w.serve(keySet(t, "k2", next.Public()))
	if err := check(t, v, tok); !errors.Is(err, verify.ErrInvalid) {
		t.Errorf("within ten seconds of the last fetch: %v", err)
	}
	w.later(10 * time.Second)
	if err := check(t, v, tok); err != nil {
		t.Error(err)
	}
	// The old one is gone with its set.
	if err := check(t, v, token(t, w.key, nil, claims())); !errors.Is(err, verify.ErrInvalid) {
		t.Errorf("a key that was taken away: %v", err)
	}
}

func TestOneFetchForAllWhoWait(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	release := make(chan struct{})
	body := keySet(t, "k1", w.key.Public())
	w.answerWith(func(rw http.ResponseWriter, _ *http.Request) { <-release; _, _ = rw.Write(body) })
	v, tok := w.verifier(), token(t, w.key, nil, claims())
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if err := check(t, v, tok); err != nil {
				t.Error(err)
			}
		})
	}
	// One who gives up leaves alone, and does not end the fetch of the others.
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := v.Verify(ctx, tok); !errors.Is(err, context.Canceled) || errors.Is(err, verify.ErrInvalid) {
		t.Errorf("who gave up: %v", err)
	}
	close(release)
	wg.Wait()
	if n := w.fetch.Load(); n != 1 {
		t.Errorf("%d fetches, want 1", n)
	}
}

// TestKnownKeysDoNotWaitForUnknownOnes: whoever sends an unknown key id must
// not make the others wait for a gate that hangs.
func TestKnownKeysDoNotWaitForUnknownOnes(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	v, tok := w.verifier(), token(t, w.key, nil, claims())
	if err := check(t, v, tok); err != nil {
		t.Fatal(err)
	}
	w.later(11 * time.Second)
	entered, release := make(chan struct{}), make(chan struct{})
	w.answerWith(func(http.ResponseWriter, *http.Request) { close(entered); <-release })
	done := make(chan error, 1)
	go func() { done <- check(t, v, token(t, w.key, map[string]any{"kid": "x"}, claims())) }()
	<-entered
	if err := check(t, v, tok); err != nil { // would deadlock if it waited
		t.Error(err)
	}
	close(release)
	if err := <-done; err == nil {
		t.Error("an unknown key was believed")
	}
}

func TestAnOutageStopsNobodyForAnHourAndEverybodyAfter(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	v := w.verifier()
	tok := token(t, w.key, nil, claims(with("exp", noon.Add(24*time.Hour).Unix())))
	if err := check(t, v, tok); err != nil {
		t.Fatal(err)
	}
	w.answerWith(func(rw http.ResponseWriter, _ *http.Request) { rw.WriteHeader(http.StatusBadGateway) })
	for range 11 {
		w.later(5 * time.Minute)
		if err := check(t, v, tok); err != nil {
			t.Fatalf("at %s: %v", w.clock(), err)
		}
	}
	// Not said to be forged, since that cannot be told.
	if err := check(t, v, token(t, w.key, map[string]any{"kid": "k2"}, claims())); err == nil || errors.Is(err, verify.ErrInvalid) {
		t.Errorf("an unknown key during an outage: %v", err)
	}
	w.later(5 * time.Minute)
	if err := check(t, v, tok); err == nil || errors.Is(err, verify.ErrInvalid) {
		t.Errorf("after an hour: %v", err)
	}
	w.serve(keySet(t, "k1", w.key.Public()))
	w.later(10 * time.Second)
	if err := check(t, v, tok); err != nil {
		t.Errorf("when the gate is back: %v", err)
	}
}

func TestKeySetsThatAreNoneAreRefused(t *testing.T) {
	t.Parallel()
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld(t)
	elsewhere := newWorld(t)
	elsewhere.serve(keySet(t, "k1", w.key.Public()))
	good := keySet(t, "k1", w.key.Public())
	body := func(b []byte) http.HandlerFunc {
		return func(rw http.ResponseWriter, _ *http.Request) { _, _ = rw.Write(b) }
	}
	ec := func(change func(*jose.JSONWebKey)) []byte {
		k := jose.JSONWebKey{Key: w.key.Public(), KeyID: "k1"}
		change(&k)
		b, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{k}})
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	for name, answer := range map[string]http.HandlerFunc{
		"Redirect": func(rw http.ResponseWriter, r *http.Request) { http.Redirect(rw, r, elsewhere.url, http.StatusFound) },
		"Redirect307": func(rw http.ResponseWriter, r *http.Request) {
			http.Redirect(rw, r, elsewhere.url, http.StatusTemporaryRedirect)
		},
		"Error":        func(rw http.ResponseWriter, _ *http.Request) { rw.WriteHeader(500); _, _ = rw.Write(good) },
		"Page":         body([]byte("<html>sign in</html>")),
		"Empty":        body(nil),
		"EmptySet":     body([]byte(`{"keys":[]}`)),
		"NoSet":        body([]byte(`{}`)),
		"KeysIsNoList": body([]byte(`{"keys":{"k1":{}}}`)),
		"Huge":         body(append(good, []byte(strings.Repeat(" ", 256<<10))...)),
		"CutOff":       body(good[:len(good)-2]),
		"RSAOnly":      body(keySet(t, "k1", rsaKey.Public())),
		"OtherCurve":   body(keySet(t, "k1", newKey(t, elliptic.P384()).Public())),
		"Symmetric":    body(keySet(t, "k1", []byte("0123456789abcdef0123456789abcdef"))),
		"PrivateKey":   body(keySet(t, "k1", w.key)),
		"ForSecrecy":   body(ec(func(k *jose.JSONWebKey) { k.Use = "enc" })),
		"OtherAlg":     body(ec(func(k *jose.JSONWebKey) { k.Algorithm = "ES384" })),
		"NoID":         body(ec(func(k *jose.JSONWebKey) { k.KeyID = "" })),
		"OffTheCurve":  body([]byte(`{"keys":[{"kty":"EC","crv":"P-256","kid":"k1","x":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAE","y":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAE"}]}`)),
	} {
		t.Run(name, func(t *testing.T) {
			x := newWorld(t)
			x.answerWith(answer)
			err := check(t, x.verifier(), token(t, w.key, nil, claims()))
			if err == nil || errors.Is(err, verify.ErrInvalid) {
				t.Errorf("error %v, want one of fetching", err)
			}
		})
	}
	if elsewhere.fetch.Load() != 0 {
		t.Error("a redirect was followed")
	}
}

func TestOneMalformedKeyLeavesTheOthers(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal(keySet(t, "k1", w.key.Public()), &set); err != nil {
		t.Fatal(err)
	}
	junk := []string{`null`, `1`, `"x"`, `{}`, `[]`, `{"kty":"EC","crv":"P-256","kid":"k1","x":"AA"}`, `{"kty":"EC","crv":"P-999","kid":"k9","x":"AA","y":"AA"}`, `{"kty":"new"}`}
	for _, j := range junk {
		set.Keys = append([]json.RawMessage{json.RawMessage(j)}, set.Keys...)
	}
	b, err := json.Marshal(set)
	if err != nil {
		t.Fatal(err)
	}
	w.serve(b)
	if err := check(t, w.verifier(), token(t, w.key, nil, claims())); err != nil {
		t.Error(err)
	}
}

func TestASlowKeySetIsGivenUp(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	hang := make(chan struct{})
	t.Cleanup(func() { close(hang) })
	w.answerWith(func(rw http.ResponseWriter, _ *http.Request) { rw.(http.Flusher).Flush(); <-hang })
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	_, err := w.verifier().Verify(ctx, token(t, w.key, nil, claims()))
	if !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, verify.ErrInvalid) || ctx.Err() != nil {
		t.Errorf("error %v", err)
	}
}
