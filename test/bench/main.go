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

// area measures one kind of promises, in parts that can be measured alone.
type area struct {
	name  string
	parts []part
}

type part struct {
	name string
	run  func(ctx context.Context, r *report) error
}

func areas() []area {
	return []area{
		{"engine", []part{{"engine", engineArea}}},
		{"check", checkParts()},
		{"limits", []part{{"limits", limitsArea}}},
		{"sessions", sessionParts()},
		{"audit", auditParts()},
		{"replay", replayParts()},
		{"demo", demoParts()},
		{"edge", []part{{"edge", edgeArea}, {"routes", routesPart}, {"through", onStand(throughPart)}}},
	}
}

func main() {
	only := flag.String("only", "", "measure only this area, or AREA/PART")
	flag.Usage = func() {
		fmt.Fprintf(os.Stderr, "Usage: bench [-only AREA[/PART]]\nAreas: %s\n", strings.Join(areaNames(), ", "))
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
		if len(a.parts) > 1 {
			for _, p := range a.parts {
				names = append(names, a.name+"/"+p.name)
			}
		}
	}
	return names
}

func run(ctx context.Context, only string) error {
	r := &report{out: os.Stdout}
	ran := false
	for _, a := range areas() {
		for _, p := range a.parts {
			if only != "" && only != a.name && only != a.name+"/"+p.name {
				continue
			}
			ran, r.area = true, a.name
			if err := p.run(ctx, r); err != nil {
				return fmt.Errorf("%s/%s: %w", a.name, p.name, err)
			}
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
