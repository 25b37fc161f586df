package bundles_test

import (
	"encoding/json"
	"errors"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/neosc/gate/authz"
	"github.com/neosc/gate/authz/engine"
	"github.com/neosc/gate/bundles"
)

// adjusted is a policy folder whose decision shows a number of its data in
// three places, and a manager that puts in another.
func adjusted(t *testing.T, value *atomic.Int64, refuse *atomic.Bool) (*engine.Engine, *bundles.Manager, string) {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{
		"p.rego": `package neosc.authz
decision := {"allowed": true, "reasons": [sprintf("n%d", [data.n])], "rate_limits": [{"name": "a", "key": "k", "requests_per_second": data.n, "burst": data.n}]}
`, "data.json": `{"n": 1}`} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	e, err := engine.New(engine.Options{Machine: &engine.MachineOptions{Logger: slog.New(slog.DiscardHandler), CacheBytes: 1 << 20, Inputs: 50}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = e.Close(t.Context()) })
	m, err := bundles.New(bundles.Options{Engine: e, Edge: testEdge(), Dir: dir, Timeout: 10 * time.Second, Logger: slog.New(slog.DiscardHandler), Adjust: func(src *engine.Source) error {
		if refuse.Load() {
			return errors.New("no")
		}
		src.Data = maps.Clone(src.Data)
		src.Data["n"] = json.Number(strconv.FormatInt(value.Load(), 10))
		src.Revision += "+" + strconv.FormatInt(value.Load(), 10)
		return nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	return e, m, dir
}

func TestAnAdjustedSetIsAGenerationThatNoDecisionMixes(t *testing.T) {
	t.Parallel()
	var value atomic.Int64
	value.Store(1)
	e, m, _ := adjusted(t, &value, new(atomic.Bool))
	if err := m.Reload(); err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	by := map[uint64]int64{} // what each generation's decisions show
	var stop atomic.Bool
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for !stop.Load() {
				d, err := e.Decide(t.Context(), request("portal", "user"))
				if err != nil {
					t.Error(err)
					return
				}
				n := int64(d.Charges[0].Burst)
				if d.Reasons[0] != "n"+strconv.FormatInt(n, 10) || d.Charges[0].Rate != float64(n) || d.Revision[len(d.Revision)-1:] != strconv.FormatInt(n, 10) {
					t.Errorf("a mixed decision: %+v", d)
				}
				mu.Lock()
				if was, ok := by[d.Generation]; ok && was != n {
					t.Errorf("generation %d shows %d and %d", d.Generation, was, n)
				}
				by[d.Generation] = n
				mu.Unlock()
			}
		})
	}
	for i := range int64(30) {
		value.Store(1 + i%7)
		if err := m.Renew(); err != nil {
			t.Error(err)
		}
		// Who turned it sees it at once, remembered decisions or not.
		if d, err := e.Decide(t.Context(), request("portal", "user")); err != nil || d.Charges[0].Burst != int(1+i%7) {
			t.Errorf("after the change: %+v, %v", d, err)
		}
	}
	stop.Store(true)
	wg.Wait()
	if s := m.Status(); s.Generation != 30 {
		t.Errorf("generation %d, want 30: the first change changed nothing", s.Generation)
	}
}

func TestASetOnDiskThatIsRefusedHoldsNoAdjustmentUp(t *testing.T) {
	t.Parallel()
	var value atomic.Int64
	var refuse atomic.Bool
	e, m, dir := adjusted(t, &value, &refuse)
	if err := m.Renew(); err == nil {
		t.Error("nothing is active, and something was renewed")
	}
	value.Store(2)
	if err := m.Reload(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "p.rego"), []byte("package ("), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := m.Reload(); err == nil {
		t.Fatal("a broken set is active")
	}
	value.Store(3)
	if err := m.Renew(); err != nil {
		t.Fatal(err)
	}
	shows(t, e, 3)
	if m.Status().LastError == nil {
		t.Error("what is wrong with the set on disk is forgotten")
	}
	refuse.Store(true)
	value.Store(4)
	if err := m.Renew(); err == nil {
		t.Error("a refused adjustment is no error")
	}
	shows(t, e, 3)
}

func shows(t *testing.T, e authz.Engine, n int) {
	t.Helper()
	if d, err := e.Decide(t.Context(), request("portal", "user")); err != nil || d.Charges[0].Burst != n {
		t.Errorf("decided %+v, %v, want %d", d, err, n)
	}
}
