package pages

import (
	"fmt"
	"math"
	"strings"
	"time"
)

// clock is a countdown without script: four columns of digits that SMIL moves.
type clock struct {
	Left    int
	Columns []column
}

type column struct {
	X, Period, Begin int
	Digits           []digit
	Values           string
}

type digit struct{ Y, N int }

// newClock returns the clock for left seconds, nil when it cannot show them
// (0, or an hour and more: it has two digits of minutes).
func newClock(left int) *clock {
	if left < 1 || left >= 3600 {
		return nil
	}
	c := &clock{Left: left}
	for _, k := range []struct{ x, period, top int }{{0, 3600, 5}, {26, 600, 9}, {68, 60, 5}, {94, 10, 9}} {
		col := column{X: k.x, Period: k.period, Begin: -(k.period - 1 - left%k.period)}
		values := make([]string, 0, k.top+1)
		for i := 0; i <= k.top; i++ {
			col.Digits = append(col.Digits, digit{Y: 39 + 48*i, N: k.top - i})
			values = append(values, fmt.Sprintf("0 -%d", 48*i))
		}
		values[0] = "0 0"
		col.Values = strings.Join(values, ";")
		c.Columns = append(c.Columns, col)
	}
	return c
}

// wholeSeconds rounds up: whoever waits so long is let in.
func wholeSeconds(d time.Duration) int {
	if d <= 0 {
		return 0
	}
	return int(math.Ceil(d.Seconds()))
}

// InWords says a wait in the largest unit that fits.
func InWords(seconds int) string {
	switch {
	case seconds == 1:
		return "1 second"
	case seconds < 120:
		return fmt.Sprintf("%d seconds", seconds)
	case seconds < 2*3600:
		return fmt.Sprintf("%d minutes", (seconds+59)/60)
	default:
		return fmt.Sprintf("%d hours", (seconds+3599)/3600)
	}
}
