package audit

import (
	"sync"
	"time"
)

// run writes what is queued until Close.
func (t *Trail) run() {
	var syncing sync.WaitGroup
	syncing.Go(t.syncs)
	syncing.Go(t.finds)
	t.wakeFinds()
	defer func() {
		close(t.unsynced)
		syncing.Wait()
		t.turn.Lock() // after the last that was alone
		t.unprepare()
		t.turn.Unlock()
		close(t.over)
	}()
	for {
		select {
		case c := <-t.queue:
			t.serve(c)
			continue
		default:
		}
		select {
		case c := <-t.queue:
			t.serve(c)
		case <-t.stop:
			return
		}
	}
}

// serve writes a call with those that wait behind it, and while there are several
// at once, with those that come a moment later: as many as came last time.
func (t *Trail) serve(first *call) {
	calls, crowd, err := t.serveTurn(first)
	// Others have their turn while this waits for the disk.
	switch {
	case err != nil || t.o.Sync == nil:
		answer(calls, err)
	case crowd == 1:
		answer(calls, t.synced())
	default:
		t.unsynced <- calls
	}
}

// serveTurn is what serve does in its turn. It returns how many calls are to be expected
// next.
func (t *Trail) serveTurn(first *call) (all []*call, crowd int, err error) {
	t.turn.Lock()
	defer t.turn.Unlock()
	calls, n := []*call{first}, len(first.rows)
	late := time.NewTimer(linger)
	defer late.Stop()
more:
	for n < batch {
		select {
		case c := <-t.queue:
			calls, n = append(calls, c), n+len(c.rows)
			continue
		default:
		}
		if len(calls) >= min(t.crowd, enough) {
			break
		}
		select {
		case c := <-t.queue:
			calls, n = append(calls, c), n+len(c.rows)
		case <-late.C:
			break more
		case <-t.stop:
			break more
		}
	}
	err = t.written(calls, n)
	// Who is answered now may well come again, beside those who wait.
	t.crowd = len(calls) + len(t.queue)
	return calls, t.crowd, err
}

// written is write, which tells of an error.
func (t *Trail) written(calls []*call, n int) error {
	err := t.write(calls)
	if err != nil {
		t.o.Logger.Error("the audit trail cannot be written", "entries", n, "error", err)
	}
	return err
}

// syncs answers calls once they are on disk.
func (t *Trail) syncs() {
	for calls := range t.unsynced {
		all := [][]*call{calls}
	more:
		for {
			select {
			case calls, ok := <-t.unsynced:
				if !ok {
					break more
				}
				all = append(all, calls)
			default:
				break more
			}
		}
		err := t.synced()
		for _, calls := range all {
			answer(calls, err)
		}
	}
}

func (t *Trail) synced() error {
	err := t.o.Sync()
	if err != nil {
		t.o.Logger.Error("the audit trail cannot be synced; once the disk is mended, start the gate anew", "error", err)
		err = t.unavailable(err)
	}
	return err
}

func answer(calls []*call, err error) {
	for _, c := range calls {
		c.done <- err
	}
}
