package assertion

// Remembered is how many assertions s holds.
func Remembered(s *Signer) int {
	s.cache.mu.RLock()
	defer s.cache.mu.RUnlock()
	return len(s.cache.now) + len(s.cache.last)
}
