package main

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strings"
	"testing"
)

func TestTheListIsSortedOnceEachAndWithoutShortWords(t *testing.T) {
	var out strings.Builder
	// Full-width letters and capitals are the same word; four characters are too few.
	if err := run(strings.NewReader("password\nPassword\nｐassword\nfour\nmonkey1\n"), &out); err != nil {
		t.Fatal(err)
	}
	var want []string
	for _, w := range []string{"password", "monkey1"} {
		sum := sha256.Sum256([]byte(w))
		want = append(want, hex.EncodeToString(sum[:8]))
	}
	slices.Sort(want)
	if got := strings.Fields(out.String()); !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}
