package main

import (
	"fmt"
	"io"
	"math"
	"slices"
)

// report prints figures and remembers whether one was over.
type report struct {
	out  io.Writer
	area string
	over bool
}

// figure is one measured value. Bound is an upper bound; 0 means none.
func (r *report) figure(name string, value float64, unit string, bound float64) {
	verdict, shown := "ok", "-"
	if bound > 0 {
		shown = fmt.Sprintf("≤%.4g", bound)
		if value > bound {
			verdict, r.over = "over", true
		}
	}
	fmt.Fprintf(r.out, "bench %s %s %.3g %s %s %s\n", r.area, name, value, unit, shown, verdict)
}

// ratio prints the median of paired ratios and its 95% interval. It is the
// median that is held to the bound.
func (r *report) ratio(name string, ratios []float64, bound float64) {
	m, lo, hi := medianInterval(ratios)
	r.figure(name, m, fmt.Sprintf("ratio[%.3g,%.3g]n=%d", lo, hi, len(ratios)), bound)
}

func median(xs []float64) float64 {
	s := slices.Sorted(slices.Values(xs))
	if len(s) == 0 {
		return math.NaN()
	}
	if n := len(s); n%2 == 0 {
		return (s[n/2-1] + s[n/2]) / 2
	}
	return s[len(s)/2]
}

// medianInterval returns the median and the distribution-free 95% confidence
// interval of it from order statistics (the number of samples below the true
// median is Binomial(n, ½)); n ≥ 6.
func medianInterval(xs []float64) (m, lo, hi float64) {
	s := slices.Sorted(slices.Values(xs))
	n := len(s)
	if n < 6 {
		return median(s), s[0], s[n-1]
	}
	k, tail, p := 0, 0.0, math.Pow(0.5, float64(n))
	for tail+p <= 0.025 {
		tail += p
		p = p * float64(n-k) / float64(k+1)
		k++
	}
	return median(s), s[k-1], s[n-k]
}
