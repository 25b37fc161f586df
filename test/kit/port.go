package kit

import (
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"sync"
	"testing"
)

var (
	given   = map[int]bool{}
	givenMu sync.Mutex
)

// FreePort returns a TCP port of 127.0.0.1 on which nobody listens now, and which
// no other test of this process was given. It lies below those that the kernel
// gives to outgoing connections (32768 and up on Linux, unless told otherwise):
// of them one is soon taken by some other test's client, before whoever asked
// here listens.
func FreePort(t testing.TB) int {
	t.Helper()
	givenMu.Lock()
	defer givenMu.Unlock()
	below := firstOutgoing()
	for range 1000 {
		port := 10_240 + rand.IntN(below-10_240)
		if given[port] {
			continue
		}
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err != nil {
			continue
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		given[port] = true
		return port
	}
	t.Fatalf("1000 ports below %d are all taken", below)
	return 0
}

// firstOutgoing is the first port that the kernel gives to outgoing connections,
// or Linux' own choice where it leaves too few below it.
func firstOutgoing() int {
	const usual, fewest = 32_768, 12_000
	b, err := os.ReadFile("/proc/sys/net/ipv4/ip_local_port_range")
	if err != nil {
		return usual
	}
	var first int
	if _, err := fmt.Sscan(string(b), &first); err != nil || first < fewest {
		return usual
	}
	return min(first, usual)
}
