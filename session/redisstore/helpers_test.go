package redisstore_test

import (
	"testing"

	"github.com/neosc/gate/session/storetest"
	"github.com/neosc/gate/test/redistest"
)

// server starts a Redis of the test's own, which it may stop, pause and flush.
func server(t testing.TB, args ...string) *redistest.Server {
	t.Helper()
	s, err := redistest.Socket(args...)
	return started(t, s, err)
}

func started(t testing.TB, s *redistest.Server, err error) *redistest.Server {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// gates returns one gate for each URL, all with one prefix.
func gates(t testing.TB, urls ...string) []*storetest.Gate {
	t.Helper()
	o := options("")
	var stores []storetest.FeedStore
	for _, u := range urls {
		o.URL = u
		stores = append(stores, open(t, o))
	}
	return storetest.Gates(t, nil, stores...)
}
