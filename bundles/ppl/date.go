package ppl

import "time"

// dateForms are ISO 8601's that Pomerium reads; without a zone UTC is meant.
var dateForms = []string{time.RFC3339Nano, "2006-01-02T15:04:05", "2006-01-02T15:04", time.DateOnly}

// date reads a time of the calendar: after, before, or both.
func (im *importer) date(r *routeModel, c *criterion, p pair) error {
	if !isMap(p.value) || len(p.value.Content) == 0 {
		return im.errorf(p.value, "date: want after and before")
	}
	period := map[string]any{}
	for _, k := range pairs(p.value) {
		if k.key != "after" && k.key != "before" {
			return im.errorf(k.value, "date: there is no %q; there are after and before", clip(k.key))
		}
		s, err := im.text(k.value, "date."+k.key)
		if err != nil {
			return err
		}
		at, ok := instantOf(s)
		if !ok {
			return im.errorf(k.value, "date.%s: %q is no date such as 2026-03-05T08:00:00Z of the years 1700 to 2200", k.key, clip(s))
		}
		period[k.key] = at.UnixNano()
	}
	r.call(c, "date")
	r.data[c.name], c.body = period, "ppl.dated("+dataMark+c.name+")"
	return nil
}

// instantOf reads a date that nanoseconds of 64 bits can say.
func instantOf(s string) (time.Time, bool) {
	for _, form := range dateForms {
		if t, err := time.Parse(form, s); err == nil {
			return t, t.Year() >= 1700 && t.Year() <= 2200
		}
	}
	return time.Time{}, false
}
