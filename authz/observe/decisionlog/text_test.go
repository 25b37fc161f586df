package decisionlog

import (
	"testing"

	"github.com/neosc/gate/authz/observe"
)

// plainText must not pass what would have been escaped: a line of the log is one
// line, and nothing in it ends a string.
func FuzzPlainText(f *testing.F) {
	for _, s := range []string{"", "plain text of more than eight", "quote\"", "eight by\\", "1234567\x7f", "1234567\x1f", "é", "\xff", "       \x80", "\x00"} {
		f.Add(s)
	}
	for c := range 256 { // each byte at each place of a word, and after one
		for at := range 9 {
			b := []byte("a ~z09[]Z")
			b[at] = byte(c)
			f.Add(string(b))
		}
	}
	f.Fuzz(func(t *testing.T, s string) {
		if same := string(observe.AppendText(nil, s, len(s))) == s; plainText(s) && !same {
			t.Errorf("%q is not in JSON as it is", s)
		}
		for i := range len(s) {
			if c := s[i]; c < 0x20 || c > 0x7e || c == '"' || c == '\\' {
				return
			}
		}
		if !plainText(s) {
			t.Errorf("%q is plain", s)
		}
	})
}
