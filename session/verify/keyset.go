package verify

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
)

const (
	// maxAge is how long a fetched key set is used; the edge publishes a key
	// for longer than that before it signs with it.
	maxAge = 5 * time.Minute
	// minInterval bounds fetches for key ids that are not in the set: anybody
	// can send one.
	minInterval = 10 * time.Second
	maxJWKS     = 256 << 10
)

// keySet is the published key set, fetched when first needed and again when old
// or when a key is missing.
type keySet struct {
	url    string
	client *http.Client
	now    func() time.Time

	mu      sync.Mutex
	keys    map[string]any
	fetched time.Time // of the last success
	tried   time.Time
}

func newKeySet(o Options) *keySet {
	c := http.Client{Timeout: 5 * time.Second}
	if o.Client != nil {
		c = *o.Client
	}
	c.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &keySet{url: o.JWKSURL, client: &c, now: o.Now}
}

// find returns the key of an id. Callers wait while one of them fetches.
func (s *keySet) find(ctx context.Context, id string) (any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now()
	key, ok := s.keys[id]
	if ok && now.Sub(s.fetched) < maxAge {
		return key, nil
	}
	if !s.tried.IsZero() && now.Sub(s.tried) < minInterval {
		if ok || s.keys != nil {
			return known(key, ok)
		}
		return nil, fmt.Errorf("identity keys: the last attempt to fetch %s failed", s.url)
	}
	s.tried = now
	keys, err := s.fetch(ctx)
	if err != nil {
		if ok { // an old set is better than none: keys are only ever taken away slowly
			return key, nil
		}
		return nil, err
	}
	s.keys, s.fetched = keys, now
	key, ok = keys[id]
	return known(key, ok)
}

func known(key any, ok bool) (any, error) {
	if !ok {
		return nil, fmt.Errorf("%w: its key is not published", ErrInvalid)
	}
	return key, nil
}

func (s *keySet) fetch(ctx context.Context) (map[string]any, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url, nil)
	if err != nil {
		return nil, fmt.Errorf("identity keys: %w", err)
	}
	resp, err := s.client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("identity keys: %w", err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("identity keys: %s answered %s", s.url, resp.Status)
	}
	// Key by key: one malformed key must not disable the others.
	var set struct{ Keys []json.RawMessage }
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxJWKS)).Decode(&set); err != nil {
		return nil, fmt.Errorf("identity keys: %s: %w", s.url, err)
	}
	keys := map[string]any{}
	for _, raw := range set.Keys {
		var k jose.JSONWebKey
		if k.UnmarshalJSON(raw) == nil && k.IsPublic() && k.KeyID != "" {
			keys[k.KeyID] = k.Key
		}
	}
	return keys, nil
}
