package pages

import (
	"fmt"
	"time"
)

// Hours are opening hours, the same on each open day.
type Hours struct {
	Days []time.Weekday
	// Open and Close are minutes after midnight, 0..1440, Open < Close: open at
	// Open, closed at Close.
	Open, Close int
	Location    *time.Location
	// Place names the location for people; "" means the location's name.
	Place string
}

func (h *Hours) valid() bool {
	return h != nil && h.Location != nil && h.Open >= 0 && h.Open < h.Close && h.Close <= 1440
}

func (h *Hours) openOn(d time.Weekday) bool {
	for _, x := range h.Days {
		if x == d {
			return true
		}
	}
	return false
}

// OpensAfter returns the next opening after t, zero if there is none.
func (h *Hours) OpensAfter(t time.Time) time.Time {
	t = t.In(h.Location)
	for i := 0; i <= 7; i++ {
		open := time.Date(t.Year(), t.Month(), t.Day()+i, h.Open/60, h.Open%60, 0, 0, h.Location)
		if h.openOn(open.Weekday()) && open.After(t) {
			return open
		}
	}
	return time.Time{}
}

// opens says when, seen from now, something opens: "tomorrow, 08:00".
func opens(at, now time.Time) string {
	now = now.In(at.Location())
	clock := at.Format("15:04")
	switch days := dayNumber(at) - dayNumber(now); {
	case days == 0:
		return clock
	case days == 1:
		return "tomorrow, " + clock
	case days > 1 && days < 7:
		return at.Weekday().String() + ", " + clock
	default:
		return at.Format("Monday, 2 January, 15:04")
	}
}

func dayNumber(t time.Time) int {
	return int(time.Date(t.Year(), t.Month(), t.Day(), 0, 0, 0, 0, time.UTC).Unix() / 86400)
}

type hoursTable struct {
	Zone string
	Rows []hoursRow
}

type hoursRow struct {
	Label, Text, Stamp, Tone string
	Now                      bool
	Spans                    []span
}

type span struct{ X, Width int }

// table draws the week in runs of days that are alike, Monday first, and now.
func (h *Hours) table(now time.Time) *hoursTable {
	t := &hoursTable{Zone: h.Location.String()}
	for i := 1; i <= 7; {
		first, open, j := time.Weekday(i%7), h.openOn(time.Weekday(i%7)), i
		for j < 7 && h.openOn(time.Weekday((j+1)%7)) == open {
			j++
		}
		row := hoursRow{Label: first.String(), Text: "closed"}
		switch last := time.Weekday(j % 7); {
		case j == i+1:
			row.Label += ", " + last.String()
		case j > i:
			row.Label += " to " + last.String()
		}
		if open {
			row.Text = clockText(h.Open) + " to " + clockText(h.Close)
			row.Tone, row.Spans = "info", []span{{h.Open, h.Close - h.Open}}
		}
		t.Rows = append(t.Rows, row)
		i = j + 1
	}
	now = now.In(h.Location)
	t.Rows = append(t.Rows, hoursRow{
		Label: "Now, " + now.Weekday().String(), Text: now.Format("15:04"), Stamp: now.Format(time.RFC3339),
		Now: true, Spans: []span{{now.Hour()*60 + now.Minute(), 24}},
	})
	return t
}

func clockText(minute int) string { return fmt.Sprintf("%02d:%02d", minute/60, minute%60) }
