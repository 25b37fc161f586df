package kit

import (
	"fmt"
	"math/rand/v2"
	"net"
	"testing"
)

// FreePort returns a TCP port of 127.0.0.1 on which nobody listens now. It lies
// below those that the kernel gives to outgoing connections (32768 and up on
// Linux): of them one is soon taken by some other test's client, before whoever
// asked here listens.
func FreePort(t testing.TB) int {
	t.Helper()
	for range 100 {
		port := 10_240 + rand.IntN(32_768-10_240)
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err != nil {
			continue
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		return port
	}
	t.Fatal("100 ports below 32768 are all taken")
	return 0
}
