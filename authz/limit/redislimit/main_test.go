package redislimit_test

import (
	"log/slog"
	"os"
	"testing"

	"github.com/neosc/gate/authz/limit/redislimit"
)

func TestMain(m *testing.M) {
	redislimit.RouteClientLog(slog.New(slog.DiscardHandler))
	os.Exit(m.Run())
}
