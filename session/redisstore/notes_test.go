package redisstore_test

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/neosc/gate/session"
	"github.com/neosc/gate/session/redisstore"
	"github.com/neosc/gate/session/storetest"
)

var _ session.Notes = (*redisstore.Store)(nil)

func TestNotesArePutOnceSwappedKnowinglyAndTakenOnce(t *testing.T) {
	t.Parallel()
	st, c := open(t, options(common.URL)), t.Context()
	k, end := session.Key(sha256.Sum256([]byte("note"))), base.Add(time.Minute)
	first, second := session.Note{Data: []byte("a\n\x00b"), Expires: end}, session.Note{Data: []byte("second"), Expires: end}

	_, err := st.GetNote(c, k, base)
	storetest.WantErr(t, err, session.ErrNotFound)
	storetest.WantErr(t, st.SwapNote(c, k, nil, first, base), session.ErrNotFound)
	if err := st.PutNote(c, k, first, base); err != nil {
		t.Fatal(err)
	}
	storetest.WantErr(t, st.PutNote(c, k, second, base), session.ErrExists)
	got, err := st.GetNote(c, k, base)
	if err != nil || !bytes.Equal(got.Data, first.Data) || !got.Expires.Equal(end) {
		t.Errorf("got %+v, %v", got, err)
	}
	storetest.WantErr(t, st.SwapNote(c, k, []byte("other"), second, base), session.ErrConflict)
	if err := st.SwapNote(c, k, first.Data, second, base); err != nil {
		t.Error(err)
	}
	_, err = st.GetNote(c, k, end)
	storetest.WantErr(t, err, session.ErrNotFound)
	if err := st.PutNote(c, k, session.Note{Expires: end.Add(time.Minute)}, end); err != nil {
		t.Errorf("one that is over is in the way: %v", err)
	}
	if err := st.SwapNote(c, k, nil, second, base); err != nil {
		t.Errorf("no data is data too: %v", err)
	}
	if got, err := st.TakeNote(c, k, base); err != nil || !bytes.Equal(got.Data, second.Data) {
		t.Errorf("got %+v, %v", got, err)
	}
	_, err = st.TakeNote(c, k, base)
	storetest.WantErr(t, err, session.ErrNotFound)
	if err := st.SetNote(c, k, session.Note{Data: make([]byte, session.MaxNoteSize+1)}, base); err == nil {
		t.Error("a note that is too big was taken")
	}
}

func TestOneOfManyGetsANote(t *testing.T) {
	t.Parallel()
	st, c := open(t, options(common.URL)), t.Context()
	k := session.Key(sha256.Sum256([]byte("many")))
	var put, taken atomic.Int32
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			switch err := st.PutNote(c, k, session.Note{Data: fmt.Append(nil, i), Expires: base.Add(time.Minute)}, base); {
			case err == nil:
				put.Add(1)
			case !errors.Is(err, session.ErrExists):
				t.Error(err)
			}
		})
	}
	wg.Wait()
	for range 8 {
		wg.Go(func() {
			switch _, err := st.TakeNote(c, k, base); {
			case err == nil:
				taken.Add(1)
			case !errors.Is(err, session.ErrNotFound):
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if put.Load() != 1 || taken.Load() != 1 {
		t.Errorf("%d put it and %d took it, want one each", put.Load(), taken.Load())
	}
}
