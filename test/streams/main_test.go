package streams

import (
	"flag"
	"os"
	"testing"

	"github.com/neosc/gate/test/kit"
)

var long = flag.Bool("soak", false, "let streams live a minute instead of a second and a half")

func TestMain(m *testing.M) {
	flag.Parse()
	code := m.Run()
	kit.Cleanup()
	os.Exit(code)
}
