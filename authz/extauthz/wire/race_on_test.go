//go:build race

package wire

// raced: the race detector is on, under which pools lose things on purpose and
// all is ten times slower.
const raced = true
