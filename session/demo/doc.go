// Package demo is just-in-time access: a grant is asked for, perhaps agreed to,
// made ready by steps, active for a while, and taken away again with all that was
// made for it. It implements session.Demos.
//
// A grant is one row. What is to be done with it, and when, follows from the row
// alone (machine.go); any gate does it. A gate claims rows that are due under a
// fence, a number that grows with each claim and each move, and for a short time:
// if it dies, another one claims them when that is over, and if it was merely
// slow, nothing that it writes counts any more. All instants are the store's:
// a gate whose own clock is wrong waits by durations that the store told it.
//
// Nobody's access depends on this work being done in time: policy reads the end
// from the claims, and streams are cut by it.
package demo
