package envoy_test

import (
	"sync/atomic"
	"testing"
	"time"
)

// load is what became of many requests.
type load struct {
	sent, late, failed atomic.Int64
	first              atomic.Pointer[string]
}

// late is when one of Envoy's deadlines may have passed by itself on a busy
// machine: 250 ms to connect, a second for the check.
const late = 240 * time.Millisecond

// done counts a request that began then; failure is "" or what it was.
func (l *load) done(began time.Time, failure string) {
	switch {
	case failure == "":
	case time.Since(began) > late:
		l.late.Add(1)
	default:
		l.failed.Add(1)
		l.first.CompareAndSwap(nil, &failure)
	}
	l.sent.Add(1)
}

// await waits for some requests more.
func (l *load) await(more int64) {
	for target := l.sent.Load() + more; l.sent.Load() < target; {
		time.Sleep(time.Millisecond)
	}
}

// check wants that none failed.
func (l *load) check(t *testing.T) {
	t.Helper()
	if n := l.failed.Load(); n > 0 {
		t.Errorf("%d of %d requests failed, one with %s", n, l.sent.Load(), *l.first.Load())
	}
	if n := l.late.Load(); n > 0 {
		t.Logf("%d of %d requests failed after more than %v", n, l.sent.Load(), late)
		if n > l.sent.Load()/10 {
			t.Error("those are too many")
		}
	}
}
