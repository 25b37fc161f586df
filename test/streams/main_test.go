package streams

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
