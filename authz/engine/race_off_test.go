//go:build !race

package engine

// slow says that the race detector makes everything ten times as slow.
const slow = false
