package assertion_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/neosc/gate/authz/assertion"
)

func TestWhichKeySignsWhen(t *testing.T) {
	t.Parallel()
	keys := newKeys(t, noon, noon.Add(time.Hour), noon.Add(2*time.Hour))
	for name, c := range map[string]struct {
		at       time.Duration
		states   string
		prunable int
	}{
		"BeforeAll":         {-time.Hour, "[signs next next]", 0},
		"First":             {0, "[signs next next]", 0},
		"LastOfFirst":       {time.Hour - 1, "[signs next next]", 0},
		"Second":            {time.Hour, "[old signs next]", 0},
		"FirstStillNeeded":  {time.Hour + assertion.Life + assertion.MaxAge - 1, "[old signs next]", 0},
		"FirstNotNeeded":    {time.Hour + assertion.Life + assertion.MaxAge, "[old signs next]", 1},
		"Third":             {2 * time.Hour, "[old old signs]", 1},
		"OnlyThirdIsNeeded": {3 * time.Hour, "[old old signs]", 2},
	} {
		at := noon.Add(c.at)
		var states []assertion.State
		for i := range keys {
			states = append(states, keys.StateAt(i, at))
		}
		if got := fmt.Sprint(states); got != c.states || keys.Prunable(at) != c.prunable {
			t.Errorf("%s: %s and %d prunable, want %s and %d", name, got, keys.Prunable(at), c.states, c.prunable)
		}
		if i := slices.Index(states, assertion.Signs); keys[i].ID != keys.Signing(at).ID {
			t.Errorf("%s: %s signs, state says %s", name, keys.Signing(at).ID, keys[i].ID)
		}
	}
}

func TestAKeyThatIsAddedOutOfTurnFindsItsPlace(t *testing.T) {
	t.Parallel()
	keys := newKeys(t, noon.Add(2*time.Hour), noon)
	if !keys[0].ActiveFrom.Equal(noon) || keys.Signing(noon.Add(time.Hour)).ID != keys[0].ID {
		t.Errorf("order %v", keys)
	}
}

func TestNoMoreKeysThanAFileHolds(t *testing.T) {
	t.Parallel()
	var keys assertion.Keys
	for range assertion.MaxKeys {
		keys = append(keys, newKeys(t, noon)...)
	}
	if _, err := keys.With(noon, noon); err == nil {
		t.Error("one too many was added")
	}
}

// TestNobodyEverMeetsAnUnknownKey plays rotations and prunings at random times
// against the file, with a replica that reads it late and an upstream that
// keeps the key set as long as it may: the key of every token that is still
// valid is in the set that the upstream has.
func TestNobodyEverMeetsAnUnknownKey(t *testing.T) {
	t.Parallel()
	const late = time.Minute // a replica reads the file every ten seconds
	type version struct {
		from time.Time
		keys assertion.Keys
	}
	rapid.Check(t, func(r *rapid.T) {
		history := []version{{noon, newKeys(r, noon.Add(-24*time.Hour))}}
		at := func(t time.Time) assertion.Keys { // the file as it was at t
			out := history[0].keys
			for _, v := range history {
				if !v.from.After(t) {
					out = v.keys
				}
			}
			return out
		}
		now := noon
		for range rapid.IntRange(1, 8).Draw(r, "changes") {
			now = now.Add(time.Duration(rapid.Int64Range(0, int64(25*time.Minute)).Draw(r, "pause")))
			keys := at(now)
			if rapid.Bool().Draw(r, "rotate") {
				var err error
				if keys, err = keys.With(now, now.Add(assertion.Lead)); err != nil {
					r.Fatal(err)
				}
			} else {
				keys = keys[keys.Prunable(now):]
			}
			history = append(history, version{now, keys})
		}
		for range 20 {
			signed := noon.Add(time.Duration(rapid.Int64Range(0, int64(4*time.Hour)).Draw(r, "signed")))
			seen := signed.Add(time.Duration(rapid.Int64Range(0, int64(assertion.Life)).Draw(r, "age")))
			file := signed.Add(-time.Duration(rapid.Int64Range(0, int64(late)).Draw(r, "late")))
			key := at(file).Signing(signed).ID
			set := at(seen.Add(-time.Duration(rapid.Int64Range(0, int64(assertion.MaxAge+late)).Draw(r, "kept"))))
			if !slices.ContainsFunc(set, func(k assertion.Key) bool { return k.ID == key }) {
				r.Fatalf("signed at %s with %s, seen at %s: the upstream knows %v", signed, key, seen, set)
			}
		}
	})
}
