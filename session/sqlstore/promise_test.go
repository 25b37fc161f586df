package sqlstore_test

import (
	"crypto/sha256"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/neosc/gate/session"
	"github.com/neosc/gate/session/storetest"
)

// TestAnAnsweredPingProvesWhatWasCommittedBefore holds the feed to what
// FreshUntil promises, at each moment of two seconds, or as many as it takes to see
// a hundred, in which three gates delete as fast as they can: whatever was deleted a second before it has been
// told.
func TestAnAnsweredPingProvesWhatWasCommittedBefore(t *testing.T) {
	t.Parallel()
	url := schema(t)
	hears := openPostgres(t, patient(url))
	var mu sync.Mutex
	told := make(map[session.Key]bool)
	deleted := make(map[session.Key]time.Time) // when the writer was answered
	defer hears.Watch(func(k session.Key) { mu.Lock(); told[k] = true; mu.Unlock() })()
	storetest.Eventually(t, "the feed is up", func() bool { return time.Now().Before(hears.FreshUntil()) })
	do(t, admin(t, url), `INSERT INTO sessions SELECT sha256(n::text::bytea), n::text, '', 0, 0, 0, 1, '' FROM generate_series(1, 30000) n`)
	var wg sync.WaitGroup
	var enough atomic.Bool
	for g := range 3 {
		writes := openPostgres(t, patient(url))
		wg.Go(func() {
			for n := g + 1; n <= 30000 && !enough.Load(); n += 3 {
				k := hashOf(n)
				if err := writes.Delete(t.Context(), k); err != nil {
					t.Error(err)
					return
				}
				at := time.Now()
				mu.Lock()
				deleted[k] = at
				mu.Unlock()
			}
		})
	}
	over := make(chan struct{})
	go func() { wg.Wait(); close(over) }()
	checked, begin := 0, time.Now()
	var last, end time.Time
	for running := true; running || last.Before(end); {
		select {
		case <-over:
			if running {
				running, end = false, time.Now()
			}
		case <-time.After(5 * time.Millisecond):
		}
		until := hears.FreshUntil()
		if last = until.Add(-session.FeedPromise); time.Since(begin) > time.Minute {
			t.Fatal("pings are no longer answered")
		}
		mu.Lock()
		for k, at := range deleted {
			if !at.Before(last) {
				continue
			}
			if checked++; !told[k] {
				t.Errorf("%s, deleted %v before the ping that was answered, was not told", k.Short(), last.Sub(at))
			}
			delete(deleted, k)
		}
		mu.Unlock()
		enough.Store(time.Since(begin) > 2*time.Second && checked >= 100)
	}
	if checked < 100 {
		t.Errorf("only %d deletions were looked at", checked)
	}
	t.Logf("%d deletions", checked)
}

// hashOf is what the statement above makes of a number.
func hashOf(n int) session.Key { return sha256.Sum256([]byte(strconv.Itoa(n))) }
