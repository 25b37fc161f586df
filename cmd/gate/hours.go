package main

import (
	"strings"
	"time"

	"github.com/neosc/gate/session/web/pages"
)

// hours reads the opening hours that the active policy decides by, so that a
// page can say when an application opens again. Nil when the data has none in
// the shape that the shipped policy uses: the page then names no time rather
// than a wrong one.
func (a *app) hours() *pages.Hours {
	p, _ := a.engine.Active()
	if p == nil {
		return nil
	}
	m, ok := p.Data("neosc", "hours").(map[string]any)
	if !ok {
		return nil
	}
	zone, _ := m["timezone"].(string)
	loc, err := time.LoadLocation(zone)
	from, okFrom := minutes(m["from"])
	until, okUntil := minutes(m["until"])
	days, _ := m["days"].(map[string]any)
	if err != nil || !okFrom || !okUntil || from >= until {
		return nil
	}
	h := &pages.Hours{Open: from, Close: until, Location: loc, Place: place(zone)}
	for d := time.Sunday; d <= time.Saturday; d++ {
		if days[d.String()] == true {
			h.Days = append(h.Days, d)
		}
	}
	return h
}

// minutes reads [hour, minute, second] as minutes after midnight; hours that
// do not fall on a minute cannot be shown.
func minutes(v any) (int, bool) {
	parts, ok := v.([]any)
	if !ok || len(parts) != 3 {
		return 0, false
	}
	var n [3]int
	for i, p := range parts {
		f, ok := number(p)
		if !ok {
			return 0, false
		}
		n[i] = f
	}
	return n[0]*60 + n[1], n[2] == 0
}

func number(v any) (int, bool) {
	switch x := v.(type) {
	case float64:
		return int(x), x == float64(int(x))
	case int:
		return x, true
	case interface{ Int64() (int64, error) }: // json.Number
		n, err := x.Int64()
		return int(n), err == nil
	}
	return 0, false
}

// place is a zone's city in words: "America/Mexico_City" → "Mexico City".
func place(zone string) string {
	if i := strings.LastIndexByte(zone, '/'); i >= 0 {
		zone = zone[i+1:]
	}
	return strings.ReplaceAll(zone, "_", " ")
}
