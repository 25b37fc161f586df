package authz_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/neosc/gate/authz"
)

func TestSecretsAreFoundHoweverMany(t *testing.T) {
	t.Parallel()
	for _, n := range []int{1, 32, 33, 3000} {
		s := authz.Secrets{}
		for range 2 {
			for i := range n {
				s.Add(fmt.Sprintf("%04d-secret", i))
			}
		}
		for i := range n {
			text := s.Hide(fmt.Sprintf("for %04d-secret alone", i))
			if strings.Contains(text, "secret") || !strings.HasPrefix(text, "for "+authz.Masked) {
				t.Errorf("the secret %d of %d is shown: %s", i, n, text)
			}
		}
		if text := "nothing of it is 0000secret"; s.Hide(text) != text {
			t.Errorf("with %d secrets %q becomes %q", n, text, s.Hide(text))
		}
		if s.Reset(); !s.None() || s.Hide("0000-secret") != "0000-secret" {
			t.Errorf("secrets of another request are masked")
		}
	}
}

func TestSecretsAreMaskedWhole(t *testing.T) {
	t.Parallel()
	s := authz.Secrets{}
	s.Add("longish-secret")
	s.Add("longish-secret-and-more")
	s.Add("a+b/c=d 1")
	s.Add("short")
	s.Header("authorization", "Bearer of-credit")
	for text, want := range map[string]string{
		"x longish-secret-and-more y": "x (masked) y",
		"a longish-secret":            "a (masked)",
		"/k/a+b%2Fc=d%201":            "/k/(masked)",
		"?k=a%2Bb%2Fc%3Dd+1":          "?k=(masked)",
		"Bearer of-credit":            "Bearer (masked)",
		"short":                       "short",
		"":                            "",
	} {
		if got := s.Hide(text); got != want {
			t.Errorf("%q becomes %q, want %q", text, got, want)
		}
	}
}
