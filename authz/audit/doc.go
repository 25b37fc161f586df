// Package audit keeps the audit trail: entries that are only ever added, each
// with a hash over itself and the one before it, so that nobody can change, take
// out or reorder one without a trace.
//
// serve.go and write.go add entries, many callers' in one transaction and several of those
// in one wait for the disk; entry.go bounds and hashes them; list.go reads pages of them
// and verify.go all of them. finds.go adds what they are found by to the database, and
// tail.go has it in memory until then.
package audit
