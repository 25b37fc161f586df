// Package storetest is the contract of session.Store as tests. Every store
// passes all of it, so that none of them is the one that behaves differently.
package storetest

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"testing"
	"time"

	"github.com/neosc/gate/session"
)

// Run runs the contract. open returns a new, empty store for each test and
// sees to it that what it holds is freed when t ends.
func Run(t *testing.T, open func(t *testing.T) session.Store) {
	t.Helper()
	tests := []struct {
		name string
		test func(*testing.T, session.Store)
	}{
		{"CreateThenGetGivesTheSameBack", roundTrip},
		{"ClaimsComeBackAsJSONTypes", claimTypes},
		{"BigIntegersKeepTheirDigits", bigIntegers},
		{"CallersLaterChangesStayOutside", notAliased},
		{"TakenKeyIsRefused", takenKey},
		{"MissingRecordIsNotFound", missing},
		{"DeadRecordIsStillGiven", deadIsGiven},
		{"UpdateNeedsTheVersionThatWasRead", compareAndSwap},
		{"UpdateNeverRevives", neverRevives},
		{"UpdateKeepsALaterTouch", updateKeepsTouch},
		{"UpdateMovesTheRecordToAnotherUser", updateMovesUser},
		{"TouchMovesForwardOnly", touchForward},
		{"TouchStopsAtTheAbsoluteEnd", touchClamped},
		{"IdleEndIsNeverPastTheAbsoluteEnd", idleClamped},
		{"DeleteIsIdempotent", deleteTwice},
		{"DeleteUserTakesAllOfThatUserOnly", deleteUser},
		{"ManySessionsOfOneUserEndSoon", deleteManyOfOne},
		{"ListFilters", listFilters},
		{"ListPagesFromNewToOld", listPages},
		{"ListRefusesAnOddLimit", listLimits},
		{"CountAndSweepAgreeOnWhatIsLive", countAndSweep},
		{"InstantsAreKeptToTheMillisecond", instants},
		{"CancelledCallerGetsNoAnswer", cancelled},
		{"ClosedStoreIsUnavailable", closed},
		{"OneOfManyCreatesWins", concurrentCreates},
		{"OneOfManyUpdatesOfAVersionWins", concurrentUpdates},
		{"ReadersAndWritersTogether", concurrentMix},
		{"NoteIsTakenOnce", withNotes(noteTaken)},
		{"ManyNotesAreReadTogether", withNotes(manyNotes)},
		{"NoteIsOverAtItsEnd", withNotes(noteOver)},
		{"NoteIsSwappedIfItIsTheOneThatWasRead", withNotes(noteSwapped)},
		{"NotesAreBounded", withNotes(noteBounds)},
		{"OneOfManyGetsANote", withNotes(noteRaces)},
		{"MarksMoveOnNeverBack", withMarks(marksMoveOn)},
		{"MarksLastUntilTheirLatestEnd", marksLast},
		{"TheLatestOfManyMarksHolds", withMarks(manyMarks)},
		{"MarksOfAClosedStoreAreUnavailable", marksOfClosed},
	}
	for _, c := range tests {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			c.test(t, open(t))
		})
	}
}

// base is when the tests take place.
var base = time.Date(2026, 3, 5, 10, 15, 30, 123_000_000, time.UTC)

// record returns the n-th of a family of different live sessions.
func record(n int, user string) *session.Session {
	return &session.Session{
		Key:  session.Key(sha256.Sum256(fmt.Appendf(nil, "storetest %d %s", n, user))),
		Kind: session.Browser,
		Identity: session.Identity{
			Provider: "local", Issuer: "https://idp.example", Subject: "sub-" + user, UserID: user,
			Email: user + "@Example.com", EmailVerified: true, Name: "Ana Müller", Organization: "org",
			Roles: []string{"neosc", "user"}, Groups: []string{"g1"}, AMR: []string{"pwd"},
			Claims:          map[string]any{"sub": "sub-" + user, "n": json.Number("7")},
			AuthenticatedAt: base.Add(-time.Second),
		},
		IdPSession:    "sid-1",
		CreatedAt:     base.Add(time.Duration(n) * time.Second),
		ExpiresAt:     base.Add(8 * time.Hour),
		IdleExpiresAt: base.Add(time.Hour),
		Version:       1,
	}
}

func ctx(t *testing.T) context.Context {
	t.Helper()
	c, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	t.Cleanup(cancel)
	return c
}

func create(t *testing.T, st session.Store, s *session.Session) *session.Session {
	t.Helper()
	if err := st.Create(ctx(t), s); err != nil {
		t.Fatalf("Create: %v", err)
	}
	return s
}

func get(t *testing.T, st session.Store, k session.Key) *session.Session {
	t.Helper()
	s, err := st.Get(ctx(t), k)
	if err != nil {
		t.Fatalf("Get: %v", err)
	}
	return s
}

func wantErr(t *testing.T, what string, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("%s: error %v, want one that is %q", what, err, want)
	}
}

func roundTrip(t *testing.T, st session.Store) {
	want := create(t, st, record(1, "ana"))
	if got := get(t, st, want.Key); !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	odd := record(2, "bob")
	odd.Version = 99
	create(t, st, odd)
	if got := get(t, st, odd.Key); got.Version != 1 {
		t.Errorf("a new record has version %d, want 1", got.Version)
	}
}

func claimTypes(t *testing.T, st session.Store) {
	s := record(1, "ana")
	s.Identity.Claims = map[string]any{
		"string": "\"quoted\" ü \u2028", "bool": true, "null": nil, "int": 42, "float": 0.1,
		"strings": []string{"a", "b"}, "typed": map[string]int{"x": 1},
		"nested": []any{map[string]any{"deep": []any{}}},
	}
	create(t, st, s)
	want := map[string]any{
		"string": "\"quoted\" ü \u2028", "bool": true, "null": nil, "int": json.Number("42"), "float": json.Number("0.1"),
		"strings": []any{"a", "b"}, "typed": map[string]any{"x": json.Number("1")},
		"nested": []any{map[string]any{"deep": []any{}}},
	}
	if got := get(t, st, s.Key).Identity.Claims; !reflect.DeepEqual(got, want) {
		t.Errorf("got  %#v\nwant %#v", got, want)
	}
}

func bigIntegers(t *testing.T, st session.Store) {
	const digits = json.Number("9007199254740993") // 2^53 + 1, which no float64 is
	s := record(1, "ana")
	s.Identity.Claims = map[string]any{"id": digits}
	create(t, st, s)
	if got := get(t, st, s.Key).Identity.Claims["id"]; got != digits {
		t.Errorf("got %#v, want %#v", got, digits)
	}
}

// notAliased: what a caller does to a record it put in changes nothing inside.
func notAliased(t *testing.T, st session.Store) {
	s := create(t, st, record(1, "ana"))
	s.Identity.Roles[0] = "admin"
	s.Identity.Claims["sub"] = "somebody else"
	got := get(t, st, s.Key)
	if got.Identity.Roles[0] != "neosc" || got.Identity.Claims["sub"] != "sub-ana" {
		t.Errorf("the stored record changed with the caller's: %+v", got.Identity)
	}
}

func takenKey(t *testing.T, st session.Store) {
	create(t, st, record(1, "ana"))
	again := record(1, "ana")
	again.Identity.Name = "other"
	wantErr(t, "second Create", st.Create(ctx(t), again), session.ErrExists)
	if got := get(t, st, again.Key); got.Identity.Name == "other" {
		t.Error("a refused Create changed the record")
	}
}

func missing(t *testing.T, st session.Store) {
	s := record(1, "nobody")
	_, err := st.Get(ctx(t), s.Key)
	wantErr(t, "Get", err, session.ErrNotFound)
	_, err = st.Update(ctx(t), s)
	wantErr(t, "Update", err, session.ErrNotFound)
	wantErr(t, "Touch", st.Touch(ctx(t), s.Key, base), session.ErrNotFound)
}

func deadIsGiven(t *testing.T, st session.Store) {
	s := record(1, "ana")
	s.ExpiresAt, s.IdleExpiresAt = base.Add(-time.Hour), base.Add(-time.Hour)
	create(t, st, s)
	if get(t, st, s.Key).LiveAt(base) {
		t.Error("a record that is over came back live")
	}
}

func instants(t *testing.T, st session.Store) {
	s := record(1, "ana")
	s.CreatedAt = base.Add(7 * time.Millisecond).In(time.FixedZone("far", -6*3600))
	s.IdleExpiresAt = base.Add(time.Hour + time.Millisecond)
	create(t, st, s)
	got := get(t, st, s.Key)
	if !got.CreatedAt.Equal(s.CreatedAt) || !got.IdleExpiresAt.Equal(s.IdleExpiresAt) || !got.ExpiresAt.Equal(s.ExpiresAt) {
		t.Errorf("got %v %v %v", got.CreatedAt, got.IdleExpiresAt, got.ExpiresAt)
	}
}

func cancelled(t *testing.T, st session.Store) {
	c, cancel := context.WithCancel(t.Context())
	cancel()
	wantErr(t, "Create", st.Create(c, record(1, "ana")), session.ErrUnavailable)
	_, err := st.Get(c, record(1, "ana").Key)
	wantErr(t, "Get", err, session.ErrUnavailable)
}

func closed(t *testing.T, st session.Store) {
	s := create(t, st, record(1, "ana"))
	if err := st.Close(); err != nil {
		t.Fatalf("Close: %v", err)
	}
	c := ctx(t)
	calls := map[string]func() error{
		"Create":     func() error { return st.Create(c, record(2, "ana")) },
		"Get":        func() error { _, err := st.Get(c, s.Key); return err },
		"Update":     func() error { _, err := st.Update(c, s); return err },
		"Touch":      func() error { return st.Touch(c, s.Key, base) },
		"Delete":     func() error { return st.Delete(c, s.Key) },
		"DeleteUser": func() error { _, err := st.DeleteUser(c, "ana"); return err },
		"List":       func() error { _, err := st.List(c, session.Query{}); return err },
		"CountLive":  func() error { _, err := st.CountLive(c, base); return err },
		"Sweep":      func() error { _, err := st.Sweep(c, base, nil); return err },
	}
	for name, call := range calls {
		wantErr(t, name+" after Close", call(), session.ErrUnavailable)
	}
}
