package authz

import "strings"

// secretWords are what names of secrets have in common.
var secretWords = []string{
	"authorization", "cookie", "password", "passwd", "passphrase", "secret", "token", "credential", "api_key", "apikey", "api-key",
	"private_key", "assertion", "csrf",
}

// SecretName reports whether a header, claim, field or parameter of this name
// is taken to hold a secret: what it holds is never recorded and never shown.
// It goes by the name alone, in any case, and rather takes too much for secret.
func SecretName(name string) bool {
	for _, w := range secretWords {
		if containsFold(name, w) {
			return true
		}
	}
	return false
}

// SecretParameter is SecretName for parameters of a query, where OAuth's short
// names (RFC 6749: code, state) and signatures of signed links are secrets too.
func SecretParameter(name string) bool {
	for _, n := range [...]string{"code", "state", "sig", "signature", "key"} {
		if strings.EqualFold(name, n) {
			return true
		}
	}
	return SecretName(name)
}

// containsFold reports whether s contains word, which is lower-case ASCII. It
// allocates nothing: names of headers are looked at for every decision.
func containsFold(s, word string) bool {
	for i := 0; i+len(word) <= len(s); i++ {
		j := 0
		for j < len(word) {
			c := s[i+j]
			if 'A' <= c && c <= 'Z' {
				c += 'a' - 'A'
			}
			if c != word[j] {
				break
			}
			j++
		}
		if j == len(word) {
			return true
		}
	}
	return false
}

// Masked stands where a secret was.
const Masked = "(masked)"
