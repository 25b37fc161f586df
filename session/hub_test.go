package session_test

import (
	"context"
	"io"
	"log/slog"
	"slices"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/neosc/gate/session"
)

func TestHubTellsAndStandsStillWhileNothingIsHeard(t *testing.T) {
	t.Parallel()
	reg := prometheus.NewRegistry()
	h, err := session.NewHub(slog.New(slog.DiscardHandler), reg, "pomerium_")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := session.NewHub(slog.New(slog.DiscardHandler), reg, "pomerium_"); err == nil {
		t.Error("metrics were registered twice without a word")
	}
	var told []session.Key
	stop := h.Watch(func(k session.Key) { told = append(told, k) })
	ctx, cancel := context.WithCancel(t.Context())
	calls := 0
	h.Run(ctx, func(context.Context) error {
		calls++
		switch calls {
		case 1:
			h.Begin()
			h.Tell(session.Key{7})
			h.Heard(base)
		case 2: // cannot connect
			if until := h.FreshUntil(); !until.Equal(base.Add(time.Second)) {
				t.Errorf("after a break fresh until %v, want it to stand still at %v", until, base.Add(time.Second))
			}
			if n := samples(t, reg, "pomerium_session_feed_lag_seconds"); n != 1 {
				t.Errorf("%d lags observed, want 1", n)
			}
			if up := metric(t, reg, "pomerium_session_feed_up", ""); up != 0 {
				t.Errorf("the feed is said to be up: %v", up)
			}
		case 3:
			h.Begin()
			stop()
			h.Tell(session.Key{8})
			cancel()
		}
		return io.ErrUnexpectedEOF
	})
	if want := []session.Key{{}, {7}, {}}; !slices.Equal(told, want) {
		t.Errorf("told %v, want %v", told, want)
	}
	if !h.FreshUntil().IsZero() {
		t.Error("copies are said to be fresh though nobody listens any more")
	}
	if n := metric(t, reg, "pomerium_session_feed_breaks_total", ""); n != 2 {
		t.Errorf("%v breaks, want 2", n)
	}
}

// samples returns how many values a histogram has seen.
func samples(t *testing.T, reg *prometheus.Registry, name string) uint64 {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == name {
			return f.GetMetric()[0].GetHistogram().GetSampleCount()
		}
	}
	t.Fatalf("no metric %s", name)
	return 0
}
