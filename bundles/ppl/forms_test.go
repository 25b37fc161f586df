package ppl_test

import (
	"strings"
	"testing"
	"time"
)

// The forms in which Pomerium's documentation writes times and dates.
func TestTimesAndDatesAsPomeriumWritesThem(t *testing.T) {
	t.Parallel()
	forms := []struct {
		name, criterion string
		open, closed    string
	}{
		{"clock", "time_of_day: {timezone: UTC, after: '2:20:00', before: 4:30PM}", "2026-03-04T16:29:59Z", "2026-03-04T16:30:00Z"},
		{"morning", "time_of_day: {timezone: UTC, after: 3 AM, before: 11:59 am}", "2026-03-04T03:00:00Z", "2026-03-04T02:59:59Z"},
		{"midnight", "time_of_day: {timezone: UTC, after: 12AM, before: 12PM}", "2026-03-04T00:00:00Z", "2026-03-04T12:00:00Z"},
		{"fraction", "time_of_day: {timezone: UTC, after: '15:04:05.000', before: '24:00'}", "2026-03-04T15:04:05Z", "2026-03-04T15:04:04Z"},
		{"days", "day_of_week: tue-fri", "2026-03-04T15:00:00Z", "2026-03-07T15:00:00Z"},
		{"somedays", "day_of_week: 'mon,wed,fri'", "2026-03-04T15:00:00Z", "2026-03-05T15:00:00Z"},
		{"dates", "date: {after: 2020-01-02T16:20:00, before: '2026-03-05'}", "2026-03-04T23:59:59Z", "2026-03-05T00:00:00Z"},
		{"zoned", "date: {before: '2026-03-05T00:00:00+02:00'}", "2026-03-04T21:59:59Z", "2026-03-04T22:00:00Z"},
	}
	var b strings.Builder
	for _, f := range forms {
		b.WriteString("- {from: 'https://" + f.name + ".example.com', to: http://a, policy: [{allow: {and: [authenticated_user: true, " + f.criterion + "]}}]}\n")
	}
	p := program(t, imported(t, b.String(), options(t)))
	for _, f := range forms {
		for at, want := range map[string]bool{f.open: true, f.closed: false} {
			instant, err := time.Parse(time.RFC3339, at)
			if err != nil {
				t.Fatal(err)
			}
			if d := decide(t, p, ask(f.name, "GET", &person{id: "u"}, instant)); d.Allowed != want {
				t.Errorf("%s: allowed is %t at %s", f.criterion, d.Allowed, at)
			}
		}
	}
}
