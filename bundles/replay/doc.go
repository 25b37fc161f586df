// Package replay decides recorded requests anew by another policy, each at its
// own instant, and says which decisions that would change and why. A request of
// which the policy may read something that is not in its record is not
// replayable: it never counts as the same.
package replay
