package envoy_test

import (
	"flag"
	"fmt"
	"os"
	"testing"
)

// TestMain runs more tests at once than there are cores: nearly all of their time
// they wait for an Envoy.
func TestMain(m *testing.M) {
	flag.Parse()
	set := false
	flag.Visit(func(f *flag.Flag) { set = set || f.Name == "test.parallel" })
	if !set {
		if err := flag.Set("test.parallel", "8"); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	os.Exit(m.Run())
}
