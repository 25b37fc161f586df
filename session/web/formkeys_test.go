package web

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/neosc/gate/session"
)

// formKeys returns keys as Options.FormKeys wants them, the newest first.
func formKeys(keys ...string) func() ([][]byte, error) {
	out := make([][]byte, len(keys))
	for i, k := range keys {
		out[i] = []byte(k)
	}
	return func() ([][]byte, error) { return out, nil }
}

func TestAFormOutlivesTheRotationOfItsKey(t *testing.T) {
	t.Parallel()
	before, after, other := strings.Repeat("a", 32), strings.Repeat("b", 32), strings.Repeat("c", 32)
	spec := session.CookieSpec{Name: "_pomerium", Secure: true}
	w := httptest.NewRecorder()
	sent := newCSRF(formKeys(before), spec).issue(w, httptest.NewRequest(http.MethodGet, "/", nil), "sign in", "")
	r := httptest.NewRequest(http.MethodPost, "/", nil)
	for _, c := range w.Result().Cookies() {
		r.AddCookie(c)
	}
	for name, tc := range map[string]struct {
		keys func() ([][]byte, error)
		ok   bool
	}{
		"Same": {formKeys(before), true}, "Rotated": {formKeys(after, before), true}, "AheadOfTheOthers": {formKeys(before, after), true},
		"Gone": {formKeys(after, other), false}, "None": {formKeys(), false}, "TooShort": {formKeys(before[:31]), false},
	} {
		if got := newCSRF(tc.keys, spec).valid(r, sent, "sign in", ""); got != tc.ok {
			t.Errorf("%s: valid=%v, want %v", name, got, tc.ok)
		}
	}
	if newCSRF(formKeys(), spec).valid(r, "", "sign in", "") {
		t.Error("without a key the empty token is good")
	}
}
