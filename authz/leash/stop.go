package leash

import (
	"context"
	"time"

	"google.golang.org/grpc"
)

// Close ends the watch on sessions. Streams that are still held stay held until
// their connection closes, which cuts them.
func (s *Server) Close() { s.stopped.Do(s.stop) }

// stopPoll is how often a stopping server looks whether its streams are gone.
const stopPoll = 10 * time.Millisecond

// Stop takes no more streams on g, lets short ones end by themselves for as long
// as linger, cuts the others and waits until Envoy has closed them, or ctx is
// done. The sessions are watched meanwhile, if Run still runs.
func (s *Server) Stop(ctx context.Context, g *grpc.Server, linger time.Duration) error {
	s.leaving.Store(true)
	stopped := make(chan struct{})
	go func() {
		g.GracefulStop() // says on each connection that no more are taken, and waits for those held
		close(stopped)
	}()
	patience := time.NewTimer(linger)
	defer patience.Stop()
	select {
	case <-stopped:
		return nil
	case <-patience.C:
	case <-ctx.Done():
	}
	n := s.cut(s.table.all(), causeShutdown, time.Now())
	if n > 0 {
		s.o.Logger.Info("streams were cut: this gate ends", "streams", n)
	}
	again := time.NewTicker(stopPoll)
	defer again.Stop()
	for {
		select {
		case <-stopped:
			return nil
		case <-again.C:
			// Those that were being taken in while the others were cut.
			s.cut(s.table.all(), causeShutdown, time.Now())
		case <-ctx.Done():
			g.Stop() // closes the connections, which cuts what is left
			return ctx.Err()
		}
	}
}
