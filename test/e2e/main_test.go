// Package e2e runs the whole demo, a real Envoy and a real gate included, and
// asks it what people, programs and browsers ask.
package e2e

import (
	"flag"
	"os"
	"runtime"
	"strconv"
	"testing"

	"github.com/neosc/gate/test/kit"
)

func TestMain(m *testing.M) {
	// These tests wait for other processes more than they work: with one for each
	// core, two that wait out a timeout would hold up all others.
	flag.Parse()
	if p := flag.Lookup("test.parallel"); p != nil && p.Value.String() == strconv.Itoa(runtime.GOMAXPROCS(0)) {
		_ = flag.Set("test.parallel", strconv.Itoa(max(5, runtime.GOMAXPROCS(0))))
	}
	code := m.Run()
	kit.Cleanup()
	os.Exit(code)
}
