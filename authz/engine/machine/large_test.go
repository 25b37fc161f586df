package machine

import (
	"fmt"
	"testing"
	"time"
)

// A policy with 10,000 routes is compiled in seconds and says what OPA says.
func TestManyRoutes(t *testing.T) {
	many := func(data map[string]any) {
		routes := data["neosc"].(map[string]any)["routes"].(map[string]any)
		for i := range 10_000 {
			routes[fmt.Sprintf("route-%d", i)] = map[string]any{"roles": map[string]any{"user": "read"}}
		}
	}
	start := time.Now()
	p, c := shipped(t, many), newChooser(9)
	if d := time.Since(start); d > 30*time.Second {
		t.Errorf("it took %v to prepare", d)
	}
	for i := range 50 {
		input := c.input()
		if route, ok := input["route"].(map[string]any); ok {
			route["name"] = fmt.Sprintf("route-%d", i*211)
		}
		p.agree(t, input, c.instant())
	}
}
