package storetest

import (
	"bytes"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/neosc/gate/session"
)

func compareAndSwap(t *testing.T, st session.Store) {
	s := create(t, st, record(1, "ana"))
	first, second := s.Clone(), s.Clone()
	first.Identity.Roles = []string{"admin"}
	v, err := st.Update(ctx(t), first)
	if err != nil || v != 2 {
		t.Fatalf("Update: version %d, error %v; want 2", v, err)
	}
	_, err = st.Update(ctx(t), second)
	wantErr(t, "Update of a version that is gone", err, session.ErrConflict)
	got := get(t, st, s.Key)
	if got.Version != 2 || !slices.Equal(got.Identity.Roles, []string{"admin"}) {
		t.Errorf("version %d with roles %v, want 2 with admin", got.Version, got.Identity.Roles)
	}
}

func neverRevives(t *testing.T, st session.Store) {
	s := create(t, st, record(1, "ana"))
	if err := st.Delete(ctx(t), s.Key); err != nil {
		t.Fatalf("Delete: %v", err)
	}
	_, err := st.Update(ctx(t), s)
	wantErr(t, "Update after Delete", err, session.ErrNotFound)
	wantErr(t, "Touch after Delete", st.Touch(ctx(t), s.Key, base.Add(2*time.Hour)), session.ErrNotFound)
	_, err = st.Get(ctx(t), s.Key)
	wantErr(t, "Get after both", err, session.ErrNotFound)
}

func updateKeepsTouch(t *testing.T, st session.Store) {
	s := create(t, st, record(1, "ana"))
	touched := base.Add(2 * time.Hour)
	if err := st.Touch(ctx(t), s.Key, touched); err != nil {
		t.Fatalf("Touch: %v", err)
	}
	if _, err := st.Update(ctx(t), s); err != nil {
		t.Fatalf("Update: %v", err)
	}
	if got := get(t, st, s.Key); !got.IdleExpiresAt.Equal(touched) {
		t.Errorf("the update took the touch back: idle end %v, want %v", got.IdleExpiresAt, touched)
	}
}

func updateMovesUser(t *testing.T, st session.Store) {
	s := create(t, st, record(1, "ana"))
	moved := s.Clone()
	moved.Identity.UserID, moved.Identity.Email = "eva", "eva@example.com"
	if _, err := st.Update(ctx(t), moved); err != nil {
		t.Fatalf("Update: %v", err)
	}
	if keys, err := st.DeleteUser(ctx(t), "ana"); err != nil || len(keys) != 0 {
		t.Errorf("the old user still has %d sessions (error %v)", len(keys), err)
	}
	if keys, err := st.DeleteUser(ctx(t), "eva"); err != nil || len(keys) != 1 {
		t.Errorf("the new user has %d sessions (error %v), want 1", len(keys), err)
	}
}

func touchForward(t *testing.T, st session.Store) {
	s := create(t, st, record(1, "ana"))
	later := s.IdleExpiresAt.Add(10 * time.Minute)
	for _, at := range []time.Time{later, later.Add(-time.Minute), s.IdleExpiresAt} {
		if err := st.Touch(ctx(t), s.Key, at); err != nil {
			t.Fatalf("Touch: %v", err)
		}
	}
	got := get(t, st, s.Key)
	if !got.IdleExpiresAt.Equal(later) || got.Version != 1 {
		t.Errorf("idle end %v, version %d; want %v and 1", got.IdleExpiresAt, got.Version, later)
	}
}

func touchClamped(t *testing.T, st session.Store) {
	s := create(t, st, record(1, "ana"))
	if err := st.Touch(ctx(t), s.Key, s.ExpiresAt.Add(time.Hour)); err != nil {
		t.Fatalf("Touch: %v", err)
	}
	if got := get(t, st, s.Key); !got.IdleExpiresAt.Equal(s.ExpiresAt) {
		t.Errorf("idle end %v, want the absolute end %v", got.IdleExpiresAt, s.ExpiresAt)
	}
}

func idleClamped(t *testing.T, st session.Store) {
	s := record(1, "ana")
	s.IdleExpiresAt = s.ExpiresAt.Add(time.Hour)
	create(t, st, s)
	if got := get(t, st, s.Key); !got.IdleExpiresAt.Equal(s.ExpiresAt) {
		t.Errorf("idle end %v, want the absolute end %v", got.IdleExpiresAt, s.ExpiresAt)
	}
	if n, err := st.CountLive(ctx(t), s.ExpiresAt); err != nil || n != 0 {
		t.Errorf("%d live at the absolute end (error %v), want none", n, err)
	}
}

func deleteTwice(t *testing.T, st session.Store) {
	s := create(t, st, record(1, "ana"))
	for range 2 {
		if err := st.Delete(ctx(t), s.Key); err != nil {
			t.Fatalf("Delete: %v", err)
		}
	}
	_, err := st.Get(ctx(t), s.Key)
	wantErr(t, "Get", err, session.ErrNotFound)
}

func deleteUser(t *testing.T, st session.Store) {
	want := []session.Key{create(t, st, record(1, "ana")).Key, create(t, st, record(2, "ana")).Key}
	other := create(t, st, record(3, "bob"))
	keys, err := st.DeleteUser(ctx(t), "ana")
	if err != nil || len(keys) != 2 || !slices.Contains(keys, want[0]) || !slices.Contains(keys, want[1]) {
		t.Errorf("DeleteUser: %d keys, error %v; want both", len(keys), err)
	}
	if keys, err := st.DeleteUser(ctx(t), "ana"); err != nil || len(keys) != 0 {
		t.Errorf("again: %d keys, error %v; want none", len(keys), err)
	}
	get(t, st, other.Key)
}

func concurrentCreates(t *testing.T, st session.Store) {
	var won atomic.Int32
	together(8, func(int) {
		switch err := st.Create(ctx(t), record(1, "ana")); {
		case err == nil:
			won.Add(1)
		case !errors.Is(err, session.ErrExists):
			t.Errorf("Create: %v", err)
		}
	})
	if won.Load() != 1 {
		t.Errorf("%d of 8 creates of one key succeeded", won.Load())
	}
}

func concurrentUpdates(t *testing.T, st session.Store) {
	s := create(t, st, record(1, "ana"))
	var won atomic.Int32
	together(8, func(int) {
		switch _, err := st.Update(ctx(t), s.Clone()); {
		case err == nil:
			won.Add(1)
		case !errors.Is(err, session.ErrConflict):
			t.Errorf("Update: %v", err)
		}
	})
	if won.Load() != 1 {
		t.Errorf("%d of 8 updates of one version succeeded", won.Load())
	}
}

func concurrentMix(t *testing.T, st session.Store) {
	together(8, func(g int) {
		for i := range 10 {
			s := record(100*g+i, "user")
			if err := st.Create(ctx(t), s); err != nil {
				t.Errorf("Create: %v", err)
			}
			if _, err := st.Get(ctx(t), s.Key); err != nil {
				t.Errorf("Get: %v", err)
			}
			if err := st.Touch(ctx(t), s.Key, base.Add(2*time.Hour)); err != nil {
				t.Errorf("Touch: %v", err)
			}
			if _, err := st.List(ctx(t), session.Query{UserID: "user", Limit: 5}); err != nil {
				t.Errorf("List: %v", err)
			}
			if i%2 == 0 {
				if err := st.Delete(ctx(t), s.Key); err != nil {
					t.Errorf("Delete: %v", err)
				}
			}
		}
	})
	if n, err := st.CountLive(ctx(t), base); err != nil || n != 40 {
		t.Errorf("%d sessions are left (error %v), want 40", n, err)
	}
}

// together runs f on n goroutines, all let go at once.
func together(n int, f func(i int)) {
	var wg sync.WaitGroup
	start := make(chan struct{})
	for i := range n {
		wg.Go(func() {
			<-start
			f(i)
		})
	}
	close(start)
	wg.Wait()
}

// manyOfOne is how many sessions a runaway program may leave to one user: several
// times what a store takes out at one go.
const manyOfOne = 1200

// soon bounds their end, generously: half a second for each thousand, and what a
// busy machine adds.
const soon = 5 * time.Second

func deleteManyOfOne(t *testing.T, st session.Store) {
	c := ctx(t)
	var all sync.WaitGroup
	for from := range 16 {
		all.Go(func() {
			for n := from; n < manyOfOne; n += 16 {
				if err := st.Create(c, record(n+10, "ana")); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	other := create(t, st, record(1, "bob"))
	all.Wait()
	began := time.Now()
	keys, err := st.DeleteUser(c, "ana")
	if took := time.Since(began); err != nil || took > soon {
		t.Errorf("DeleteUser took %v (error %v), at most %v are allowed", took, err, soon)
	}
	slices.SortFunc(keys, func(a, b session.Key) int { return bytes.Compare(a[:], b[:]) })
	if n := len(slices.Compact(keys)); n != manyOfOne {
		t.Errorf("DeleteUser: %d keys, want %d", n, manyOfOne)
	}
	left, err := st.List(c, session.Query{UserID: "ana"})
	if err != nil || len(left) != 0 {
		t.Errorf("%d sessions are left (error %v)", len(left), err)
	}
	get(t, st, other.Key)
}
