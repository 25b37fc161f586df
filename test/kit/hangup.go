package kit

import (
	"syscall"
	"testing"
)

// Hangup has the gate read its keys and policies again.
func (s *Server) Hangup(t testing.TB) {
	t.Helper()
	if err := s.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Error(err)
	}
}
