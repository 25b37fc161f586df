package session

import (
	"slices"
	"strings"
	"testing"
)

func TestNamesAreSortedAndSingle(t *testing.T) {
	t.Parallel()
	in := []string{"user", "admin", "user", "größe 2"}
	got, err := CheckNames("role", in)
	if err != nil || !slices.Equal(got, []string{"admin", "größe 2", "user"}) {
		t.Errorf("%q, %v", got, err)
	}
	if in[0] != "user" {
		t.Error("the caller's names were sorted in place")
	}
	if got, err := CheckNames("role", nil); len(got) != 0 || err != nil {
		t.Errorf("%q, %v", got, err)
	}
}

func TestNamesThatCouldPassForOthersAreRefused(t *testing.T) {
	t.Parallel()
	for _, bad := range []string{
		"", "user,admin", "a\nb", "a\r\nX-Role: admin", "a\x00", "a\x7f", "a\u0085b", "\xff", " admin", "admin ", "\u00a0admin",
		strings.Repeat("x", MaxNameLength+1),
	} {
		_, err := CheckNames("role", []string{"user", bad})
		if err == nil || !strings.Contains(err.Error(), "role") {
			t.Errorf("%q: error %v, want one that speaks of a role", bad, err)
		}
		if err != nil && (len(err.Error()) > 400 || strings.ContainsAny(err.Error(), "\r\n\x00")) {
			t.Errorf("%q: the error carries it on: %q", bad, err)
		}
	}
	if _, err := CheckNames("group", make([]string, MaxNames+1)); err == nil {
		t.Error("too many names were taken")
	}
}

func TestRecordsThatAreNoneAreRefused(t *testing.T) {
	t.Parallel()
	for _, bad := range []string{"", "x", `{"kind":1}`, `{} {}`, `{}x`, `{"identity":` + strings.Repeat("[", 20_000), strings.Repeat(" ", MaxRecordSize) + "{}"} {
		if s, err := DecodeRecord(Key{}, []byte(bad)); err == nil || s != nil {
			t.Errorf("%.20q was read", bad)
		}
	}
}

func TestKeysReadBack(t *testing.T) {
	t.Parallel()
	k := NewID().Key()
	if got, err := ParseKey(k.String()); got != k || err != nil {
		t.Errorf("%v, %v", got, err)
	}
	for _, bad := range []string{"", "00", strings.Repeat("z", 64), k.String() + "0"} {
		if _, err := ParseKey(bad); err == nil {
			t.Errorf("%q was read", bad)
		}
	}
}
