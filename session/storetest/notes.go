package storetest

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/neosc/gate/session"
)

// withNotes runs a case of session.Notes, which every store keeps too.
func withNotes(test func(*testing.T, session.Notes)) func(*testing.T, session.Store) {
	return func(t *testing.T, st session.Store) {
		n, ok := st.(session.Notes)
		if !ok {
			t.Fatalf("%T does not keep notes", st)
		}
		test(t, n)
	}
}

func noteKey(n int) session.Key { return session.Key(sha256.Sum256(fmt.Appendf(nil, "note %d", n))) }

func note(data string, life time.Duration) session.Note {
	return session.Note{Data: []byte(data), Expires: base.Add(life)}
}

func wantNote(t *testing.T, st session.Notes, k session.Key, now time.Time, want string) {
	t.Helper()
	n, err := st.GetNote(ctx(t), k, now)
	if err != nil || string(n.Data) != want {
		t.Errorf("note %q, error %v, want %q", n.Data, err, want)
	}
}

func noteTaken(t *testing.T, st session.Notes) {
	k := noteKey(1)
	if err := st.PutNote(ctx(t), k, note("a", time.Minute), base); err != nil {
		t.Fatal(err)
	}
	wantErr(t, "a second put", st.PutNote(ctx(t), k, note("b", time.Minute), base), session.ErrExists)
	wantNote(t, st, k, base, "a")
	n, err := st.TakeNote(ctx(t), k, base)
	if err != nil || string(n.Data) != "a" || !n.Expires.Equal(base.Add(time.Minute)) {
		t.Errorf("took %q until %s, error %v", n.Data, n.Expires, err)
	}
	_, err = st.TakeNote(ctx(t), k, base)
	wantErr(t, "a second take", err, session.ErrNotFound)
	_, err = st.GetNote(ctx(t), k, base)
	wantErr(t, "a get after it", err, session.ErrNotFound)
}

// manyNotes: read together they are what they are one by one.
func manyNotes(t *testing.T, st session.Notes) {
	for n, data := range map[int]string{1: "a", 3: "c", 4: "over\n"} {
		life := time.Minute
		if n == 4 {
			life = time.Second
		}
		if err := st.PutNote(ctx(t), noteKey(n), note(data, life), base); err != nil {
			t.Fatal(err)
		}
	}
	now := base.Add(time.Second)
	got, err := session.GetNotes(ctx(t), st, now, noteKey(3), noteKey(2), noteKey(1), noteKey(4))
	if err != nil || len(got) != 4 || string(got[0].Data) != "c" || got[1].LiveAt(now) || string(got[2].Data) != "a" || got[3].LiveAt(now) {
		t.Errorf("got %+v, error %v", got, err)
	}
	if got, err := session.GetNotes(ctx(t), st, now); err != nil || len(got) != 0 {
		t.Errorf("of no keys: got %+v, error %v", got, err)
	}
}

func noteOver(t *testing.T, st session.Notes) {
	k, end := noteKey(1), base.Add(time.Minute)
	if err := st.PutNote(ctx(t), k, note("a", time.Minute), base); err != nil {
		t.Fatal(err)
	}
	wantNote(t, st, k, end.Add(-time.Millisecond), "a")
	_, err := st.GetNote(ctx(t), k, end)
	wantErr(t, "get at its end", err, session.ErrNotFound)
	wantErr(t, "swap at its end", st.SwapNote(ctx(t), k, []byte("a"), note("b", time.Hour), end), session.ErrNotFound)
	_, err = st.TakeNote(ctx(t), k, end)
	wantErr(t, "take at its end", err, session.ErrNotFound)
	if err := st.PutNote(ctx(t), k, note("c", time.Hour), end); err != nil {
		t.Errorf("put where one is over: %v", err)
	}
	wantNote(t, st, k, end, "c")
}

func noteSwapped(t *testing.T, st session.Notes) {
	k := noteKey(1)
	wantErr(t, "swap of nothing", st.SwapNote(ctx(t), k, nil, note("b", time.Minute), base), session.ErrNotFound)
	for _, data := range []string{"a", ""} {
		if err := st.SetNote(ctx(t), k, note(data, time.Minute), base); err != nil {
			t.Fatal(err)
		}
		wantErr(t, "swap of another", st.SwapNote(ctx(t), k, []byte("x"), note("b", time.Minute), base), session.ErrConflict)
		if err := st.SwapNote(ctx(t), k, []byte(data), note("b", 2*time.Minute), base); err != nil {
			t.Errorf("swap of %q: %v", data, err)
		}
		wantNote(t, st, k, base.Add(90*time.Second), "b")
	}
}

func noteBounds(t *testing.T, st session.Notes) {
	big := session.Note{Data: bytes.Repeat([]byte{0xff, 0}, session.MaxNoteSize/2), Expires: base.Add(time.Minute)}
	if err := st.SetNote(ctx(t), noteKey(1), big, base); err != nil {
		t.Errorf("the largest note: %v", err)
	}
	if n, err := st.GetNote(ctx(t), noteKey(1), base); err != nil || !bytes.Equal(n.Data, big.Data) {
		t.Errorf("%d bytes came back, error %v", len(n.Data), err)
	}
	big.Data = append(big.Data, 'x')
	for what, err := range map[string]error{
		"put": st.PutNote(ctx(t), noteKey(2), big, base), "set": st.SetNote(ctx(t), noteKey(2), big, base),
		"swap": st.SwapNote(ctx(t), noteKey(1), nil, big, base),
	} {
		if err == nil {
			t.Errorf("%s of a note that is too large was taken", what)
		}
	}
}

func noteRaces(t *testing.T, st session.Notes) {
	const many = 16
	var put, taken, swapped atomic.Int32
	var all sync.WaitGroup
	for i := range many {
		all.Go(func() {
			if st.PutNote(ctx(t), noteKey(1), note(fmt.Sprint(i), time.Minute), base) == nil {
				put.Add(1)
			}
		})
	}
	all.Wait()
	if err := st.SetNote(ctx(t), noteKey(2), note("old", time.Minute), base); err != nil {
		t.Fatal(err)
	}
	for i := range many {
		all.Go(func() {
			if _, err := st.TakeNote(ctx(t), noteKey(1), base); err == nil {
				taken.Add(1)
			}
		})
		all.Go(func() {
			if st.SwapNote(ctx(t), noteKey(2), []byte("old"), note(fmt.Sprint("new ", i), time.Minute), base) == nil {
				swapped.Add(1)
			}
		})
	}
	all.Wait()
	if put.Load() != 1 || taken.Load() != 1 || swapped.Load() != 1 {
		t.Errorf("of %d callers %d put, %d took and %d swapped; want one each", many, put.Load(), taken.Load(), swapped.Load())
	}
}
