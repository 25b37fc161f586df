package session

import (
	"testing"
)

func TestAddressesAreCountedByWhoHasThem(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"203.0.113.9":              "203.0.113.9",
		"::ffff:203.0.113.9":       "203.0.113.9",
		"2001:db8:1:2:3:4:5:6":     "2001:db8:1:2::/64",
		"2001:db8:1:2:ffff::1%eth": "2001:db8:1:2::/64",
		"":                         "unknown",
		"@":                        "unknown",
		"203.0.113.9:4711":         "unknown",
	} {
		if got := AddressKey(in); got != want {
			t.Errorf("%q is counted as %q, want %q", in, got, want)
		}
	}
}
