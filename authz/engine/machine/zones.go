package machine

import (
	"sync"
	"time"
)

// maxZones is how many time zones a program keeps; there are about 600.
const maxZones = 1024

// zones keeps loaded time zones by name.
type zones struct {
	byName sync.Map // string → *time.Location, nil for none such
	mu     sync.Mutex
	n      int
}

// load returns the zone, nil if there is none of that name.
func (z *zones) load(name string) *time.Location {
	if l, ok := z.byName.Load(name); ok {
		return l.(*time.Location)
	}
	l, err := time.LoadLocation(name)
	if err != nil {
		return nil // not kept: there is no end of wrong names
	}
	z.mu.Lock()
	defer z.mu.Unlock()
	if z.n < maxZones {
		z.n++
		z.byName.Store(name, l)
	}
	return l
}
