package main

import (
	"context"
	"encoding/json"
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/neosc/gate/envoy"
)

func versionCommand() command {
	return command{"version", "print versions of gate, Go, OPA and the Envoy it fits", runVersion}
}

func runVersion(_ context.Context, args []string, s streams) int {
	fs := flagSet("version", "gate version [-json]", "Prints which versions this gate consists of.", s)
	asJSON := fs.Bool("json", false, "print JSON")
	if code, done := fs.parse(args, 0); done {
		return code
	}
	v := map[string]string{"gate": "devel", "go": runtime.Version(), "envoy": envoy.Version}
	if bi, ok := debug.ReadBuildInfo(); ok {
		v["gate"] = bi.Main.Version
		for _, d := range bi.Deps {
			if d.Path == "github.com/open-policy-agent/opa" {
				v["opa"] = d.Version
			}
		}
	}
	if *asJSON {
		_ = json.NewEncoder(s.out).Encode(v)
		return exitOK
	}
	for _, k := range []string{"gate", "go", "opa", "envoy"} {
		fmt.Fprintf(s.out, "%-6s %s\n", k, v[k])
	}
	return exitOK
}
