//go:build !race

package kit

// Race says whether programs under test are built with the race detector.
const Race = false
