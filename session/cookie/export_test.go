package cookie

import "time"

// SetClock makes a ring that nobody uses yet live by another clock.
func SetClock(r *Ring, now func() time.Time) { r.now = now }
