package main

import (
	"bytes"
	"strings"
	"testing"
)

func TestMedianIntervalOfTwentyIsTheSixthAndFifteenth(t *testing.T) {
	xs := make([]float64, 20)
	for i := range xs {
		xs[i] = float64(20 - i)
	}
	m, lo, hi := medianInterval(xs)
	if m != 10.5 || lo != 6 || hi != 15 {
		t.Errorf("got %v [%v, %v], want 10.5 [6, 15]", m, lo, hi)
	}
}

func TestAFigureOverItsBoundSaysSo(t *testing.T) {
	var b bytes.Buffer
	r := &report{out: &b, area: "check"}
	r.figure("fast", 1, "x", 2)
	if r.over {
		t.Error("a figure within its bound counts as over")
	}
	r.figure("slow", 3, "x", 2)
	if !r.over || !strings.Contains(b.String(), "bench check slow 3 x ≤2 over\n") {
		t.Errorf("printed %q", b.String())
	}
}
