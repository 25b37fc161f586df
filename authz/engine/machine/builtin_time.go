package machine

import "time"

func (b *library) addTime() {
	b.track("time.now_ns", func(f *Frame, _ *operands) *Value {
		f.horizon.ReadsClock = true
		return f.instant(f.now)
	})
	b.add("time.parse_rfc3339_ns", func(f *Frame, a *operands) *Value {
		if a[0].kind != String {
			return decline
		}
		t, err := time.Parse(time.RFC3339, a[0].s)
		if err != nil || t.Year() < 1678 || t.Year() > 2261 { // what an int64 holds
			return decline
		}
		return f.integer(t.UnixNano())
	})
	b.track("time.clock", func(f *Frame, a *operands) *Value {
		t, moves, ok := f.local(a[0])
		if !ok {
			return f.alone(a[0])
		}
		h, m, s := t.Clock()
		v := f.triple(t, moves, [3]int{h, m, s}, [3]time.Duration{time.Hour, time.Minute, time.Second})
		if moves {
			v.wall, v.until = true, f.unchanged(t, day)
			v.n = int64(time.Duration(h)*time.Hour+time.Duration(m)*time.Minute+time.Duration(s)*time.Second) + int64(t.Nanosecond())
		}
		return v
	})
	b.track("time.date", func(f *Frame, a *operands) *Value {
		t, moves, ok := f.local(a[0])
		if !ok {
			return f.alone(a[0])
		}
		y, m, d := t.Date()
		return f.triple(t, moves, [3]int{y, int(m), d}, [3]time.Duration{day, day, day})
	})
	var days [7]*Value
	for d := time.Sunday; d <= time.Saturday; d++ {
		days[d] = &Value{kind: String, s: d.String(), frozen: true}
	}
	b.track("time.weekday", func(f *Frame, a *operands) *Value {
		t, moves, ok := f.local(a[0])
		if !ok {
			return f.alone(a[0])
		}
		name := days[t.Weekday()]
		if !moves {
			return name
		}
		v := f.text(name.s)
		v.clock, v.until = stepping, f.unchanged(t, day)
		return v
	})
}

const day = 24 * time.Hour

// local reads an instant, [instant, zone] or [instant, zone, layout], and says
// whether it moves with the clock.
func (f *Frame) local(v *Value) (t time.Time, moves, ok bool) {
	at, zone := v, time.UTC
	if v.kind == Array && (len(v.elems) == 2 || len(v.elems) == 3) {
		at = v.elems[0]
		name := v.elems[1]
		if name.kind != String || name.moving() || len(v.elems) == 3 && v.elems[2].kind != String {
			return t, false, false
		}
		if zone = f.program.zones.load(name.s); zone == nil {
			return t, false, false
		}
	}
	if !at.isNumber() {
		return t, false, false
	}
	if at.clock == stepping {
		f.observe(at)
	}
	return time.Unix(0, at.n).In(zone), at.clock == running, true
}

func (f *Frame) triple(t time.Time, moves bool, parts [3]int, steps [3]time.Duration) *Value {
	v := f.make(Array)
	for i, n := range parts {
		x := f.integer(int64(n))
		if moves {
			x = f.make(Number)
			x.isInt, x.n, x.clock, x.until = true, int64(n), stepping, f.unchanged(t, steps[i])
		}
		v.append(x)
	}
	return v
}

// unchanged returns until when a reading of t's wall clock in units of step
// stays: the unit's end or, before that, a change of the zone's offset. t may be
// ahead of or behind the clock that it runs with.
func (f *Frame) unchanged(t time.Time, step time.Duration) int64 {
	_, offset := t.Zone()
	wall := t.UnixNano() + int64(offset)*int64(time.Second)
	into := wall % int64(step)
	if into < 0 {
		into += int64(step)
	}
	left := int64(step) - into
	if _, end := t.ZoneBounds(); !end.IsZero() {
		left = min(left, end.UnixNano()-t.UnixNano())
	}
	return later(f.now, left)
}
