package teardown

import (
	"context"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestTeardownRunsLastFirstAndGoesOn(t *testing.T) {
	t.Parallel()
	var ran []string
	deed := func(name string, err error) func(context.Context) error {
		return func(context.Context) error { ran = append(ran, name); return err }
	}
	hold := make(chan struct{})
	defer close(hold)
	var td Stack
	td.Add("first", time.Second, deed("first", nil))
	td.Add("hangs", 10*time.Millisecond, func(context.Context) error { <-hold; return nil })
	td.Add("panics", time.Second, func(context.Context) error { panic("boom") })
	td.Add("fails", time.Second, deed("fails", os.ErrPermission))
	td.Add("last", time.Second, deed("last", nil))
	err := td.Close()
	if want := []string{"last", "fails", "first"}; !slices.Equal(ran, want) {
		t.Errorf("ran %v, want %v", ran, want)
	}
	if !errors.Is(err, os.ErrPermission) {
		t.Errorf("error %v lacks the cause", err)
	}
	for _, want := range []string{"stopping hangs: not done within 10ms", "stopping panics: panic: boom"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("error %q lacks %q", err, want)
		}
	}
	if err := td.Close(); err != nil || len(ran) != 3 {
		t.Errorf("a second Close did something: %v, %v", err, ran)
	}
	td.Add("late", time.Second, deed("late", nil))
	if !slices.Contains(ran, "late") {
		t.Error("what came after Close was left standing")
	}
}

func TestTeardownBoundsEachDeed(t *testing.T) {
	t.Parallel()
	var td Stack
	td.Add("patient", 20*time.Millisecond, func(ctx context.Context) error { <-ctx.Done(); return nil })
	begin := time.Now()
	_ = td.Close()
	if took := time.Since(begin); took > 5*time.Second {
		t.Errorf("took %v", took)
	}
}
