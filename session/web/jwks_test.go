package web

import (
	"net/http/httptest"
	"testing"
)

func TestKeysOfTheSignedIdentityAreForEverybody(t *testing.T) {
	t.Parallel()
	x := newHouse(t)
	const path = "/.well-known/pomerium/jwks.json"
	for method, want := range map[string]int{"GET": 200, "HEAD": 200, "POST": 405} {
		w := httptest.NewRecorder()
		x.h.ServeHTTP(w, httptest.NewRequest(method, gateOrigin+path, nil))
		if w.Code != want {
			t.Errorf("%s: %d, want %d", method, w.Code, want)
		}
		if want != 200 {
			continue
		}
		if got := w.Header().Get("Content-Type"); got != "application/json" {
			t.Errorf("%s: content type %q", method, got)
		}
		if got := w.Header().Get("Cache-Control"); got != "public, max-age=300" {
			t.Errorf("%s: cache control %q", method, got)
		}
		if got := w.Body.String(); got != `{"keys":[]}` {
			t.Errorf("%s: %s", method, got)
		}
	}
}
