package verify

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
)

const (
	// maxAge is how long a fetched key set is used without a look at a new one;
	// the edge publishes a key for twice that before it signs with it.
	maxAge = 5 * time.Minute
	// maxStale is how long a set is used while no new one can be had: outages
	// of the gate stop nobody who holds an assertion, and a key that was taken
	// away because it leaked cannot be kept alive by cutting the gate off.
	maxStale = time.Hour
	// minInterval bounds fetches for key ids that are not in the set: anybody
	// can send one.
	minInterval = 10 * time.Second
	fetchTime   = 5 * time.Second
	maxJWKS     = 256 << 10
	maxKeyID    = 64
)

// keySet is the published key set, fetched when first needed and again when old
// or when a key is missing.
type keySet struct {
	url    string
	client *http.Client
	now    func() time.Time

	mu      sync.Mutex
	keys    map[string]*ecdsa.PublicKey
	fetched time.Time // of the last success
	tried   time.Time
	err     error         // of the last attempt
	flight  chan struct{} // closed when the fetch under way is over; nil without one
}

func newKeySet(o Options) *keySet {
	var c http.Client
	if o.Client != nil {
		c = *o.Client
	}
	c.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &keySet{url: o.JWKSURL, client: &c, now: o.Now}
}

// find returns the key of an id. A key of a fresh set is found without waiting,
// whatever others ask for; who needs a new set waits for the one fetch under
// way, or until ctx is done.
func (s *keySet) find(ctx context.Context, id string) (*ecdsa.PublicKey, error) {
	for {
		key, flight, err := s.look(id)
		if flight == nil {
			return key, err
		}
		select {
		case <-flight:
		case <-ctx.Done():
			return nil, fmt.Errorf("identity keys: %w", ctx.Err())
		}
	}
}

// look answers from the set, or returns the fetch to wait for, which it starts
// if there is none under way.
func (s *keySet) look(id string) (*ecdsa.PublicKey, chan struct{}, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now()
	age, key := now.Sub(s.fetched), s.keys[id]
	if key != nil && age < maxAge {
		return key, nil, nil
	}
	if s.flight != nil {
		return nil, s.flight, nil
	}
	if s.tried.IsZero() || now.Sub(s.tried) >= minInterval {
		s.tried, s.flight = now, make(chan struct{})
		go s.refresh(now)
		return nil, s.flight, nil
	}
	switch {
	case key != nil && age < maxStale:
		return key, nil, nil
	case s.err != nil: // whether the key is published cannot be told
		return nil, nil, fmt.Errorf("identity keys: %s cannot be fetched: %w", s.url, s.err)
	default:
		return nil, nil, fmt.Errorf("%w: its key is not published", ErrInvalid)
	}
}

// refresh fetches. It belongs to nobody's request: one that is cut off must not
// cost the others their answer.
func (s *keySet) refresh(now time.Time) {
	ctx, cancel := context.WithTimeout(context.Background(), fetchTime)
	defer cancel()
	keys, err := s.fetch(ctx)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err = err; err == nil {
		s.keys, s.fetched = keys, now
	}
	close(s.flight)
	s.flight = nil
}

func (s *keySet) fetch(ctx context.Context) (map[string]*ecdsa.PublicKey, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url, nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Accept", "application/json")
	resp, err := s.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("the answer is %s", resp.Status)
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxJWKS+1))
	switch {
	case err != nil:
		return nil, err
	case len(body) > maxJWKS:
		return nil, fmt.Errorf("the answer is larger than %d bytes", maxJWKS)
	}
	return parseKeys(body)
}

// parseKeys reads a JWK set key by key: one that is malformed, or of a kind
// that came later, must not disable the others.
func parseKeys(body []byte) (map[string]*ecdsa.PublicKey, error) {
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal(body, &set); err != nil {
		return nil, fmt.Errorf("the answer is no JWK set: %w", err)
	}
	keys := map[string]*ecdsa.PublicKey{}
	for _, raw := range set.Keys {
		var k jose.JSONWebKey
		if k.UnmarshalJSON(raw) != nil || k.KeyID == "" || keys[k.KeyID] != nil {
			continue
		}
		if k.Use != "" && k.Use != "sig" || k.Algorithm != "" && k.Algorithm != string(jose.ES256) {
			continue
		}
		if p, ok := k.Key.(*ecdsa.PublicKey); ok && p.Curve == elliptic.P256() {
			keys[k.KeyID] = p
		}
	}
	if len(keys) == 0 {
		return nil, errors.New("the answer holds no public key for ES256")
	}
	return keys, nil
}
