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
	td.Add("first", time.Minute, deed("first", nil))
	td.Add("hangs", 10*time.Millisecond, func(context.Context) error { <-hold; return nil })
	td.Add("panics", time.Minute, func(context.Context) error { panic("boom") })
	td.Add("fails", time.Minute, deed("fails", os.ErrPermission))
	td.Add("last", time.Minute, deed("last", nil))
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
	td.Add("late", time.Minute, deed("late", nil))
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
	if took := time.Since(begin); took > 20*time.Second {
		t.Errorf("took %v", took)
	}
}

func TestWorkGoesOnUntilTheStackIsClosed(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel() // whoever starts the work does not end it
	var td Stack
	started, ended := make(chan struct{}), false
	td.Go(ctx, "work", time.Minute, func(ctx context.Context) {
		close(started)
		<-ctx.Done()
		ended = true
	})
	<-started
	if err := td.Close(); err != nil || !ended {
		t.Errorf("closed with %v, the work ended: %v", err, ended)
	}
	hold := make(chan struct{})
	defer close(hold)
	var slow Stack
	slow.Go(ctx, "slow", 10*time.Millisecond, func(context.Context) { <-hold })
	if err := slow.Close(); err == nil || !strings.Contains(err.Error(), "stopping slow") {
		t.Errorf("work that does not come back: %v", err)
	}
}
