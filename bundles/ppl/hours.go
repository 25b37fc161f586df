package ppl

import (
	"regexp"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// isTime reports whether a criterion is about the time of the week. Pomerium's
// enterprise edition calls the second time_of_day.
func isTime(key string) bool { return key == "day_of_week" || key == "time" || key == "time_of_day" }

var weekdays = []string{"Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"}

// zone is the zone that the criteria of one rule name, UTC without.
func (im *importer) zone(items []pair) string {
	for _, p := range items {
		if !isTime(p.key) || !isMap(p.value) {
			continue
		}
		for _, k := range pairs(p.value) {
			if k.key == "timezone" && k.value.Kind == yaml.ScalarNode {
				return k.value.Value
			}
		}
	}
	return "UTC"
}

// oneWindow reports hours that are no window: of two criteria of a kind, or of two
// zones, each would be open at times at which the other is not.
func (im *importer) oneWindow(items []pair) error {
	zone, seen := "", map[string]bool{}
	for _, p := range items {
		if !isTime(p.key) {
			continue
		}
		kind := "time"
		if p.key == "day_of_week" {
			kind = p.key
		}
		if seen[kind] {
			return im.errorf(p.value, "%s: there is one in this rule already; write both as one, or beside what opens the route", p.key)
		}
		seen[kind] = true
		if !isMap(p.value) {
			continue
		}
		for _, k := range pairs(p.value) {
			switch {
			case k.key != "timezone" || k.value.Kind != yaml.ScalarNode:
			case zone != "" && zone != k.value.Value:
				return im.errorf(k.value, "timezone: %q and %q are in one rule; write one zone, or both beside what opens the route", clip(zone), clip(k.value.Value))
			default:
				zone = k.value.Value
			}
		}
	}
	return nil
}

// window is what day_of_week and time of one rule say together.
func (im *importer) window(items []pair) (window, error) {
	w := window{timezone: im.zone(items), days: map[string]bool{}, until: [3]int{24, 0, 0}}
	for _, p := range items {
		var err error
		switch p.key {
		case "day_of_week":
			err = im.days(&w, p)
		case "time", "time_of_day":
			err = im.times(&w, p)
		}
		if err != nil {
			return w, err
		}
		if _, err := time.LoadLocation(w.timezone); err != nil || w.timezone == "" || w.timezone == "Local" {
			return w, im.errorf(p.value, "timezone: there is none called %q; write it as Europe/Berlin", clip(w.timezone))
		}
	}
	if len(w.days) == 0 {
		for _, d := range weekdays {
			w.days[d] = true
		}
	}
	if w.from == w.until {
		return w, im.errorf(items[0].value, "time: after and before are the same, so that it is never open")
	}
	return w, nil
}

// days reads [monday, …], "mon,tue" or "mon-fri", alone or under is, in or is_in.
func (im *importer) days(w *window, p pair) error {
	n := p.value
	if isMap(n) {
		for _, k := range pairs(n) {
			switch k.key {
			case "is", "in", "is_in":
				n = k.value
			case "timezone":
			default:
				return im.errorf(k.value, "day_of_week: there is no %q; there are is, in, is_in and timezone", clip(k.key))
			}
		}
	}
	names, err := im.texts(n, "day_of_week")
	if err != nil {
		return err
	}
	for _, name := range strings.Split(strings.Join(names, ","), ",") {
		first, last, span := strings.Cut(strings.TrimSpace(name), "-")
		if !span {
			last = first
		}
		if first == "*" {
			first, last = "monday", "sunday"
		}
		from, until := weekday(first), weekday(last)
		if from < 0 || until < 0 {
			return im.errorf(n, "day_of_week: %q is no weekday", clip(name))
		}
		for i := from; ; i = (i + 1) % 7 {
			if w.days[weekdays[i]] = true; i == until {
				break
			}
		}
	}
	return nil
}

func weekday(s string) int {
	s = strings.ToLower(strings.TrimSpace(s))
	for i, d := range weekdays {
		if d = strings.ToLower(d); s == d || len(s) >= 3 && s == d[:3] {
			return i
		}
	}
	return -1
}

func (im *importer) times(w *window, p pair) error {
	if !isMap(p.value) {
		return im.errorf(p.value, "%s: want after, before and timezone", p.key)
	}
	for _, k := range pairs(p.value) {
		var err error
		switch k.key {
		case "after":
			w.from, err = im.clock(k)
		case "before":
			w.until, err = im.clock(k)
		case "timezone":
		default:
			err = im.errorf(k.value, "%s: there is no %q; there are after, before and timezone", p.key, clip(k.key))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

var clockForm = regexp.MustCompile(`^([01]?[0-9]|2[0-4])(?::([0-5][0-9])(?::([0-5][0-9])(?:\.0+)?)?)?(?: ?([AaPp])[Mm])?$`)

// clock reads 15:04, 15:04:05, 3PM and 3:04 PM, as Pomerium does.
func (im *importer) clock(k pair) (c [3]int, err error) {
	s, err := im.text(k.value, k.key)
	if err != nil {
		return c, err
	}
	m := clockForm.FindStringSubmatch(s)
	if m == nil || m[2] == "" && m[4] == "" {
		return c, im.errorf(k.value, "%s: %q is no time of day such as 08:00:00 or 8:00 AM", k.key, clip(s))
	}
	for i, part := range m[1:4] {
		c[i], _ = strconv.Atoi(part) // digits, or nothing
	}
	switch half := strings.ToLower(m[4]); {
	case half != "" && (c[0] < 1 || c[0] > 12):
		return c, im.errorf(k.value, "%s: %q has an hour that is not 1 to 12", k.key, clip(s))
	case half == "a":
		c[0] %= 12
	case half == "p":
		c[0] = c[0]%12 + 12
	case c[0] == 24 && (c[1] > 0 || c[2] > 0):
		return c, im.errorf(k.value, "%s: %q is after the end of the day", k.key, clip(s))
	}
	return c, nil
}
