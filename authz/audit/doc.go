// Package audit keeps the audit trail: entries that are only ever added, each
// with a hash over itself and the one before it, so that nobody can change, take
// out or reorder one without a trace.
//
// trail.go adds entries, many callers' in one transaction; entry.go bounds and
// hashes them; list.go reads pages of them and verify.go all of them.
package audit
