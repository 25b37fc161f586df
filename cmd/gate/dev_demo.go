package main

import (
	"fmt"
	"os"
)

// devDemo is what can be asked for in the demo, whose workspaces need nothing to
// be made: a kind that begins at once, and one for which an administrator has to
// agree.
const devDemo = `demo:
  kinds:
    - {name: desktop, title: Linux desktop, description: A desktop of your own, max_duration: 30m}
    - {name: lab, title: Training lab, description: Several machines for a course, max_duration: 30m, approval: true}
`

// demoYAML is the key demo of gate.yaml.
func (o devOptions) demoYAML() (string, error) {
	if o.demo == "" {
		return devDemo, nil
	}
	own, err := os.ReadFile(o.demo)
	if err != nil {
		return "", fmt.Errorf("-demo: %w", err)
	}
	return string(own) + "\n", nil
}
