package leash

import (
	"container/heap"
	"time"
)

// alarm is an instant at which a stream ends, or a group is looked at again.
type alarm struct {
	at     int64 // unix ns
	in     int   // its place in the heap, from 1; 0 when it is not in it
	stream *stream
	group  *group
}

// set puts an alarm at an instant. The lock is held.
func (t *table) set(a *alarm, at time.Time) {
	a.at = at.UnixNano()
	if a.in > 0 {
		heap.Fix(&t.alarms, a.in-1)
	} else {
		heap.Push(&t.alarms, a)
	}
	if t.alarms[0] == a {
		t.poke()
	}
}

// clear takes an alarm away. The lock is held.
func (t *table) clear(a *alarm) {
	if a.in > 0 {
		heap.Remove(&t.alarms, a.in-1)
	}
}

type alarms []*alarm

func (h alarms) Len() int           { return len(h) }
func (h alarms) Less(i, j int) bool { return h[i].at < h[j].at }
func (h alarms) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].in, h[j].in = i+1, j+1
}

// Push and Pop are heap.Interface's.
func (h *alarms) Push(x any) {
	a := x.(*alarm)
	a.in = len(*h) + 1
	*h = append(*h, a)
}

func (h *alarms) Pop() any {
	old := *h
	a := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	a.in = 0
	return a
}
