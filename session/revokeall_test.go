package session_test

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/neosc/gate/session"
)

// withMarks gives a rig marks in its store.
func withMarks(t testing.TB, marks **session.MarkCopies) func(*session.Options) {
	return func(o *session.Options) {
		m, err := session.NewMarkCopies(session.MarkOptions{Marks: o.Store.(*spy).Store.(session.Marks), Clock: o.Clock})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(m.Close)
		o.Marks, *marks = m, m
	}
}

func latest(t *testing.T, m *session.MarkCopies, k session.Key) time.Time {
	t.Helper()
	ns, err := m.Latest(t.Context(), base, k)
	if err != nil {
		t.Fatal(err)
	}
	return time.Unix(0, ns).UTC()
}

func TestRevokingAUserMarksItsTokens(t *testing.T) {
	t.Parallel()
	var marks *session.MarkCopies
	r := newRig(t, withMarks(t, &marks))
	if before := latest(t, marks, session.UserMark("ana")); !before.Before(time.Unix(0, 0)) {
		t.Errorf("there is a mark already: %s", before)
	}
	if _, err := r.RevokeUser(t.Context(), "ana"); err != nil {
		t.Fatal(err)
	}
	if at := latest(t, marks, session.UserMark("ana")); !at.Equal(base) {
		t.Errorf("the mark is at %s, want %s", at, base)
	}
}

func TestRevokingAllEndsWhatBeganBefore(t *testing.T) {
	t.Parallel()
	var marks *session.MarkCopies
	kept := &trail{}
	r := newRig(t, func(o *session.Options) { withMarks(t, &marks)(o); audited(kept)(o) })
	var old []string
	for range 3 {
		_, v := r.create(t)
		old = append(old, v)
	}
	r.clock.Advance(time.Second)
	if n, err := r.RevokeAll(t.Context()); n != 3 || err != nil {
		t.Fatalf("ended %d, %v, want 3", n, err)
	}
	r.clock.Advance(time.Second)
	s, v := r.create(t)
	for _, o := range old {
		if _, err := r.lookup(o); !errors.Is(err, session.ErrInvalid) {
			t.Errorf("an old session: %v", err)
		}
	}
	got, err := r.lookup(v)
	wantLive(t, got, err, s)
	if at := latest(t, marks, session.EveryoneMark()); !at.Equal(base.Add(time.Second)) {
		t.Errorf("the mark is at %s", at)
	}
	if !slices.ContainsFunc(kept.events, func(e session.Event) bool { return e.Details["sessions"] == "all" }) {
		t.Errorf("the trail does not say so: %q", kept.say())
	}
}

// TestAllAreOverBeforeTheirRecordsAreDeleted: the mark alone ends them, those of
// which there are copies and those that are being read.
func TestAllAreOverBeforeTheirRecordsAreDeleted(t *testing.T) {
	t.Parallel()
	var marks *session.MarkCopies
	r := newRig(t, withMarks(t, &marks))
	_, copied := r.create(t)
	_, read := r.create(t)
	if _, err := r.lookup(copied); err != nil {
		t.Fatal(err)
	}
	r.clock.Advance(time.Second)
	at := r.clock.Now()
	r.store.onGet = func(*session.Session) {
		r.store.onGet = nil
		if err := marks.Set(t.Context(), session.EveryoneMark(), at); err != nil {
			t.Error(err)
		}
	}
	for range 2 {
		_, err := r.lookup(read)
		wantErr(t, err, session.ErrInvalid)
		_, err = r.lookup(copied)
		wantErr(t, err, session.ErrInvalid)
	}
	if n, err := r.store.Store.CountLive(t.Context(), at); n != 2 || err != nil {
		t.Errorf("%d records, %v, want 2", n, err)
	}
	s, v := r.create(t)
	got, err := r.lookup(v)
	wantLive(t, got, err, s)
}

func TestMarksThatCannotBeReadLetNobodyIn(t *testing.T) {
	t.Parallel()
	var marks *session.MarkCopies
	r := newRig(t, func(o *session.Options) {
		m, err := session.NewMarkCopies(session.MarkOptions{Marks: &silent{Marks: o.Store.(*spy).Store.(session.Marks)}, Clock: o.Clock})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(m.Close)
		o.Marks, marks = m, m
	})
	_, v := r.create(t)
	if err := marks.Set(t.Context(), session.EveryoneMark(), base.Add(-time.Hour)); err != nil {
		t.Fatal(err)
	}
	_, err := r.lookup(v)
	wantErr(t, err, session.ErrUnavailable)
}

// silent answers the first question for marks, that of a sign-in, and no other.
type silent struct {
	session.Marks
	asked atomic.Int64
}

func (s *silent) GetMarks(ctx context.Context, keys ...session.Key) ([]time.Time, error) {
	if s.asked.Add(1) > 1 {
		return nil, errors.New("no answer")
	}
	return s.Marks.GetMarks(ctx, keys...)
}

// TestASignInUnderWayDoesNotOutliveTheEndOfAll: the mark is set between the
// session's beginning and its record.
func TestASignInUnderWayDoesNotOutliveTheEndOfAll(t *testing.T) {
	t.Parallel()
	var marks *session.MarkCopies
	r := newRig(t, withMarks(t, &marks))
	if err := marks.Set(t.Context(), session.EveryoneMark(), base.Add(time.Second)); err != nil {
		t.Fatal(err)
	}
	_, _, err := r.Create(context.Background(), ana(), session.Browser, 0)
	wantErr(t, err, session.ErrConflict)
	if n, err := r.store.Store.CountLive(t.Context(), base); n != 0 || err != nil {
		t.Errorf("%d sessions are left, error %v", n, err)
	}
}

func TestATokenWithoutARecordIsRevokedByItsKey(t *testing.T) {
	t.Parallel()
	var marks *session.MarkCopies
	kept := &trail{}
	r := newRig(t, func(o *session.Options) { withMarks(t, &marks)(o); audited(kept)(o) })
	var told []session.Change
	stop := r.Watch(func(c session.Change) { told = append(told, c) })
	defer stop()
	k := session.NewID().Key()
	if err := r.RevokeToken(t.Context(), k); err != nil {
		t.Fatal(err)
	}
	if at := latest(t, marks, session.TokenMark(k)); at.Year() < 2200 {
		t.Errorf("the mark is at %s", at)
	}
	if !slices.Contains(told, session.Change{Key: k}) || kept.say()[0] != "token_revoked  by" {
		t.Errorf("told %v, the trail says %q", told, kept.say())
	}
	s, v := r.create(t)
	if err := r.RevokeToken(t.Context(), s.Key); err != nil {
		t.Fatal(err)
	}
	_, err := r.lookup(v)
	wantErr(t, err, session.ErrInvalid)
}
