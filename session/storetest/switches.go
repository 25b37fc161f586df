package storetest

import (
	"context"
	"reflect"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/neosc/gate/session"
)

// Switches is what every session.SwitchStore does. The stores must share what
// they keep, which must be nothing yet.
func Switches(t *testing.T, stores ...session.SwitchStore) {
	t.Helper()
	ctx := t.Context()
	first, last := stores[0], stores[len(stores)-1]
	list := func(st session.SwitchStore) []session.StoredSwitch {
		t.Helper()
		all, err := st.LoadSwitches(ctx)
		if err != nil {
			t.Fatal(err)
		}
		return all
	}
	if all := list(first); len(all) != 0 {
		t.Fatalf("there is something: %+v", all)
	}
	on, many := session.BooleanValue(true), session.NumberValue(12.5)
	at := time.Date(2026, 3, 5, 12, 0, 0, 123_456_000, time.UTC)
	hours := session.StoredSwitch{Name: "hours", Value: &on, Version: 1, ChangedAt: at, ChangedBy: "amara@kappa4.com"}
	burst := session.StoredSwitch{Name: "burst", Value: &many, Version: 1, ChangedAt: at, ChangedBy: "operator"}
	put := func(st session.SwitchStore, x session.StoredSwitch, want error) {
		t.Helper()
		if err := st.PutSwitch(ctx, x); want == nil && err != nil {
			t.Fatal(err)
		} else if want != nil {
			WantErr(t, err, want)
		}
	}
	put(first, hours, nil)
	put(last, burst, nil)
	put(last, hours, session.ErrSwitchChanged)
	hours.Version, hours.Value = 3, nil
	put(last, hours, session.ErrSwitchChanged) // one was not seen
	hours.Version = 2
	put(last, hours, nil)
	if got, want := list(first), []session.StoredSwitch{burst, hours}; !reflect.DeepEqual(got, want) {
		t.Errorf("kept %+v, want %+v", got, want)
	}
	hours.Version, hours.Value = 3, &many
	put(first, hours, nil)
	once(t, ctx, stores)
}

// once has many change one switch at once, of whom one may at each version.
func once(t *testing.T, ctx context.Context, stores []session.SwitchStore) {
	t.Helper()
	for version := range uint64(4) {
		var won atomic.Int32
		var wg sync.WaitGroup
		for i := range 6 {
			wg.Go(func() {
				v := session.NumberValue(float64(i))
				err := stores[i%len(stores)].PutSwitch(ctx, session.StoredSwitch{Name: "contended", Value: &v, Version: version + 1, ChangedAt: time.UnixMicro(1).UTC(), ChangedBy: "x"})
				if err == nil {
					won.Add(1)
				} else {
					WantErr(t, err, session.ErrSwitchChanged)
				}
			})
		}
		wg.Wait()
		if won.Load() != 1 {
			t.Fatalf("%d changed version %d", won.Load(), version)
		}
	}
}
