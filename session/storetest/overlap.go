package storetest

import (
	"flag"
	"runtime"
	"strconv"
)

// Overlap, called by a TestMain, has six parallel tests at least run at once,
// unless -parallel says another number: most of what tests of servers do is
// waiting.
func Overlap() {
	flag.Parse()
	if p := flag.Lookup("test.parallel"); p != nil && p.Value.String() == strconv.Itoa(runtime.GOMAXPROCS(0)) {
		_ = p.Value.Set(strconv.Itoa(max(6, runtime.GOMAXPROCS(0))))
	}
}
