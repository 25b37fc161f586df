// Package attack lays siege to a running gate: what published advisories of
// proxies and sign-in services of this kind teach, sent through a real Envoy over
// HTTP/1.1 and HTTP/2. cases.txt lists every case.
package attack

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
