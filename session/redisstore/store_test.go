package redisstore_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/neosc/gate/session"
	"github.com/neosc/gate/session/redisstore"
	"github.com/neosc/gate/session/storetest"
	"github.com/neosc/gate/test/redistest"
)

// common is a server that tests share which do it no harm; each has a prefix
// of its own.
var common *redistest.Server

func TestMain(m *testing.M) {
	storetest.Overlap()
	redis.SetLogger(silence{})
	var err error
	if common, err = redistest.Socket(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := m.Run()
	_ = common.Close()
	os.Exit(code)
}

// silence takes what the client library writes of each failed dial.
type silence struct{}

func (silence) Printf(context.Context, string, ...any) {}

var base = time.Date(2026, 3, 5, 10, 15, 30, 0, time.UTC)

var quiet = slog.New(slog.NewTextHandler(io.Discard, nil))

var prefixes atomic.Int64

func options(url string) redisstore.Options {
	return redisstore.Options{URL: url, Prefix: fmt.Sprintf("test:%d", prefixes.Add(1)), Logger: quiet}
}

func open(t testing.TB, o redisstore.Options) *redisstore.Store {
	t.Helper()
	st, err := redisstore.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = st.Close() })
	return st
}

func TestStoreKeepsTheContract(t *testing.T) {
	storetest.Run(t, func(t *testing.T) session.Store {
		o := options(common.URL)
		o.Clock = func() time.Time { return base }
		return open(t, o)
	})
}

func TestPasswordsAreNeverShown(t *testing.T) {
	t.Parallel()
	const secret = "h!dden%secret"
	for _, url := range []string{
		"redis://user:" + secret + "@host:6379", "redis://user:" + secret + "@host:port", "http://user:" + secret + "@host",
		"redis://user:" + secret + "@host:1?no_such=1", "redis://x:hidden secret@host/a/b", "redis://:%zzhidden@h", "rediss://u:hidden@h/x",
		"redis://u:hidden@h?master_name=&addr=x", "",
	} {
		err := redisstore.CheckURL(url)
		if err == nil {
			t.Errorf("%q was taken", url)
			continue
		}
		if strings.Contains(err.Error(), "hidden") || strings.Contains(err.Error(), "h!dden") {
			t.Errorf("the error shows the password: %v", err)
		}
	}
}

func TestURLsThatAreTaken(t *testing.T) {
	t.Parallel()
	for _, url := range []string{
		"redis://127.0.0.1:6379", "rediss://user:p%40ss@redis.example:6380/2", "unix:///run/redis/redis.sock?db=1",
		"redis://sentinel:26379/0?master_name=main&addr=other:26379",
	} {
		if err := redisstore.CheckURL(url); err != nil {
			t.Errorf("%s: %v", url, err)
		}
	}
}
