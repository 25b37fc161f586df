// Package e2e runs the whole demo, a real Envoy and a real gate included, and
// asks it what people, programs and browsers ask.
package e2e

import (
	"os"
	"testing"

	"github.com/neosc/gate/test/kit"
)

func TestMain(m *testing.M) {
	code := m.Run()
	kit.Cleanup()
	os.Exit(code)
}
