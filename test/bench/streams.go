package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"regexp"
	"strconv"
	"time"
)

const (
	// cutStreams are ended by one revoke, endStreams by their instant, and
	// memoryStreams are held to weigh them.
	cutStreams, endStreams, memoryStreams = 400, 20, 1000
	streamRounds                          = 5
	// endAfter is how long a stream lives whose end is measured.
	endAfter = 2 * time.Second
)

// edgeArea measures what the edge promises of live streams.
func edgeArea(ctx context.Context, r *report) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	dir, err := os.MkdirTemp("", "gateedge")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	s, err := newStreamStand(ctx, dir)
	if err != nil {
		return err
	}
	defer s.stop()
	if err := s.memory(ctx, r); err != nil {
		return err
	}
	if err := s.cuts(ctx, r); err != nil {
		return err
	}
	return s.ends(ctx, r)
}

// cuts revokes a session with many streams, again and again.
func (s *streamStand) cuts(ctx context.Context, r *report) error {
	var all []float64
	for range streamRounds {
		x, err := s.create(ctx, time.Hour)
		if err != nil {
			return err
		}
		conns, err := s.open(ctx, cutStreams, x.Cookie)
		if err != nil {
			return err
		}
		began := time.Now()
		if err := s.ask(ctx, http.MethodDelete, "/v1/sessions/"+x.Key, nil, nil); err != nil {
			return err
		}
		at, err := ended(conns)
		if err != nil {
			return err
		}
		last := began
		for _, t := range at {
			if t.After(last) {
				last = t
			}
		}
		all = append(all, float64(last.Sub(began).Microseconds())/1e3)
	}
	r.figure("streams_cut_by_a_revoke@400", median(all), "ms", 150)
	return nil
}

// ends lets sessions with streams come to their end.
func (s *streamStand) ends(ctx context.Context, r *report) error {
	var worst []float64
	for range streamRounds {
		x, err := s.create(ctx, endAfter)
		if err != nil {
			return err
		}
		conns, err := s.open(ctx, endStreams, x.Cookie)
		if err != nil {
			return err
		}
		at, err := ended(conns)
		if err != nil {
			return err
		}
		far := 0.0
		for _, t := range at {
			far = max(far, float64(t.Sub(x.ExpiresAt).Abs().Microseconds())/1e3)
		}
		worst = append(worst, far)
	}
	r.figure("stream_end_from_its_instant", median(worst), "ms", 20)
	return nil
}

// memory weighs streams by what the gate's heap and stacks hold once garbage is
// collected.
func (s *streamStand) memory(ctx context.Context, r *report) error {
	x, err := s.create(ctx, time.Hour)
	if err != nil {
		return err
	}
	conns, err := s.open(ctx, 16, x.Cookie) // what is made once is made
	if err != nil {
		return err
	}
	before, err := s.weigh(ctx)
	if err != nil {
		return err
	}
	more, err := s.open(ctx, memoryStreams, x.Cookie)
	if err != nil {
		return err
	}
	after, err := s.weigh(ctx)
	if err != nil {
		return err
	}
	if err := s.ask(ctx, http.MethodDelete, "/v1/sessions/"+x.Key, nil, nil); err != nil {
		return err
	}
	if _, err := ended(append(conns, more...)); err != nil {
		return err
	}
	r.figure("gate_memory_per_open_stream", (after-before)/memoryStreams/1024, "KiB", 32)
	return nil
}

var weights = regexp.MustCompile(`(?m)^go_memstats_(?:heap_alloc|stack_inuse)_bytes (\S+)$`)

func (s *streamStand) weigh(ctx context.Context) (float64, error) {
	for range 2 { // the second frees what finalizers held
		if _, err := get(ctx, s.ops+"/debug/pprof/heap?gc=1"); err != nil {
			return 0, err
		}
	}
	b, err := get(ctx, s.ops+"/metrics")
	if err != nil {
		return 0, err
	}
	sum, found := 0.0, weights.FindAllSubmatch(b, -1)
	if len(found) != 2 {
		return 0, errors.New("the gate does not say what its heap holds")
	}
	for _, m := range found {
		v, err := strconv.ParseFloat(string(m[1]), 64)
		if err != nil {
			return 0, err
		}
		sum += v
	}
	return sum, nil
}

func get(ctx context.Context, url string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s answered %s", url, resp.Status)
	}
	return b, err
}
