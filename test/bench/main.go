// Command bench measures what the project promises to be fast. Every figure is
// a ratio within one interleaved run against stock parts on the same machine
// (a no-op gRPC server, stock OPA, Envoy alone), so that neither the machine
// nor its mood counts. It prints one line a figure:
//
//	bench AREA NAME VALUE UNIT BOUND ok|over
//
// and ends with exit code 1 when a figure is over its bound or a run was
// invalid. One file is one area.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"
)

// errOver: everything was measured, and something is over its bound.
var errOver = errors.New("a figure is over its bound")

// area measures one part of the promises.
type area struct {
	name string
	run  func(ctx context.Context, r *report) error
}

func areas() []area {
	return []area{
		{"check", checkArea},
		{"limits", limitsArea},
		{"sessions", sessionsArea},
		{"edge", edgeArea},
	}
}

func main() {
	only := flag.String("only", "", "measure only this area")
	flag.Usage = func() {
		fmt.Fprintf(os.Stderr, "Usage: bench [-only AREA]\nAreas: %s\n", strings.Join(areaNames(), ", "))
	}
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, *only)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func areaNames() []string {
	var names []string
	for _, a := range areas() {
		names = append(names, a.name)
	}
	return names
}

func run(ctx context.Context, only string) error {
	r := &report{out: os.Stdout}
	ran := false
	for _, a := range areas() {
		if only != "" && only != a.name {
			continue
		}
		ran = true
		r.area = a.name
		if err := a.run(ctx, r); err != nil {
			return fmt.Errorf("%s: %w", a.name, err)
		}
	}
	if !ran {
		return fmt.Errorf("there is no area %q; the areas are %s", only, strings.Join(areaNames(), ", "))
	}
	if r.over {
		return errOver
	}
	return nil
}
