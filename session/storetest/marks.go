package storetest

import (
	"slices"
	"testing"
	"time"

	"github.com/neosc/gate/session"
)

// withMarks runs a case of session.Marks, which every store keeps too.
func withMarks(test func(*testing.T, session.Marks)) func(*testing.T, session.Store) {
	return func(t *testing.T, st session.Store) {
		m, ok := st.(session.Marks)
		if !ok {
			t.Fatalf("%T does not keep marks", st)
		}
		test(t, m)
	}
}

func setMark(t *testing.T, st session.Marks, k session.Key, at, expires time.Time) {
	t.Helper()
	if err := st.SetMark(ctx(t), k, at, expires); err != nil {
		t.Fatalf("SetMark: %v", err)
	}
}

func wantMarks(t *testing.T, st session.Marks, keys []session.Key, want ...time.Time) {
	t.Helper()
	got, err := st.GetMarks(ctx(t), keys...)
	if err != nil || !slices.EqualFunc(got, want, time.Time.Equal) {
		t.Errorf("marks %v, error %v, want %v", got, err, want)
	}
}

func marksMoveOn(t *testing.T, st session.Marks) {
	ana, bob := session.UserMark("ana"), session.UserMark("bob")
	keys := []session.Key{bob, ana, bob, session.EveryoneMark()}
	none := time.Time{}
	wantMarks(t, st, nil)
	wantMarks(t, st, keys, none, none, none, none)
	late := time.Now().Add(time.Hour)
	setMark(t, st, ana, base, late)
	wantMarks(t, st, keys, none, base, none, none)
	for _, at := range []time.Time{base.Add(time.Minute), base.Add(-time.Hour), base} {
		setMark(t, st, ana, at, late)
	}
	setMark(t, st, bob, base.Add(time.Millisecond), late)
	wantMarks(t, st, keys, base.Add(time.Millisecond), base.Add(time.Minute), base.Add(time.Millisecond), none)
	year := time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)
	setMark(t, st, session.TokenMark(ana), year, late)
	wantMarks(t, st, []session.Key{session.TokenMark(ana)}, year)
}

// marksLast: sweeping takes a mark no earlier than the latest end it was given.
func marksLast(t *testing.T, st session.Store) {
	m, k := st.(session.Marks), session.UserMark("ana")
	now := time.Now()
	setMark(t, m, k, base, now.Add(2*time.Hour))
	setMark(t, m, k, base, now.Add(time.Hour))
	if _, err := st.Sweep(ctx(t), now.Add(time.Hour), nil); err != nil {
		t.Fatal(err)
	}
	wantMarks(t, m, []session.Key{k}, base)
}

// manyMarks: of those who set one at once the latest holds.
func manyMarks(t *testing.T, st session.Marks) {
	k, late := session.UserMark("ana"), time.Now().Add(time.Hour)
	together(8, func(i int) {
		if err := st.SetMark(ctx(t), k, base.Add(time.Duration(i)*time.Second), late); err != nil {
			t.Errorf("SetMark: %v", err)
		}
	})
	wantMarks(t, st, []session.Key{k}, base.Add(7*time.Second))
}

// marksOfClosed: nobody is let in because a mark could not be read.
func marksOfClosed(t *testing.T, st session.Store) {
	m := st.(session.Marks)
	if err := st.Close(); err != nil {
		t.Fatal(err)
	}
	wantErr(t, "SetMark after Close", m.SetMark(ctx(t), session.EveryoneMark(), base, base), session.ErrUnavailable)
	_, err := m.GetMarks(ctx(t), session.EveryoneMark())
	wantErr(t, "GetMarks after Close", err, session.ErrUnavailable)
}
