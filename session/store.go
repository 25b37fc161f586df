package session

import (
	"context"
	"time"
)

// Store keeps session records. All methods may be called at once from many
// goroutines, honour ctx, and return an error that wraps ErrUnavailable when
// the backend cannot be asked. Instants are kept to the millisecond at least.
// session/storetest is this contract as tests; every store passes it.
type Store interface {
	// Create stores a new record with Version 1. ErrExists if the key is taken.
	// A shared store may answer ErrConflict if DeleteUser ended the user's
	// sessions after s.CreatedAt, on another process, while this was under way.
	Create(ctx context.Context, s *Session) error
	// Get returns the record, whether or not it is still live (the caller
	// judges by its own clock); ErrNotFound if there is none.
	Get(ctx context.Context, k Key) (*Session, error)
	// Update replaces the record if the stored Version equals s.Version, and
	// returns the new version (s.Version+1). ErrConflict if another writer was
	// first, ErrNotFound if the record is gone: an Update never revives one.
	Update(ctx context.Context, s *Session) (uint64, error)
	// Touch moves IdleExpiresAt forward to t, never backward and never past
	// ExpiresAt, and leaves Version alone. ErrNotFound if the record is gone.
	Touch(ctx context.Context, k Key, t time.Time) error
	// Delete removes the record. Deleting what is not there is no error.
	Delete(ctx context.Context, k Key) error
	// DeleteUser removes all records of a user id and returns their keys.
	DeleteUser(ctx context.Context, userID string) ([]Key, error)
	// List returns live records, newest first, at most q.Limit of them.
	List(ctx context.Context, q Query) ([]*Session, error)
	// CountLive returns how many records are live at now.
	CountLive(ctx context.Context, now time.Time) (int, error)
	// Sweep removes records that were over at now and returns how many; it is
	// housekeeping, for which correctness never waits. If ended is not nil it is
	// called with those records, some at a time and each once whichever process
	// sweeps, after they are gone.
	Sweep(ctx context.Context, now time.Time, ended func([]*Session)) (int, error)
	// Close frees what the store holds. Later calls wrap ErrUnavailable.
	Close() error
}

// Query selects sessions for List. Zero fields do not restrict.
type Query struct {
	// UserID and Email match exactly (Email case-insensitively).
	UserID, Email string
	// Now is the instant at which a record must be live; zero means any.
	Now time.Time
	// Before continues a listing: only records created before it.
	Before time.Time
	// Limit is the most rows to return: 1..1000; 0 means 100.
	Limit int
}

// Feed is what a store that several processes share also implements: it tells
// which records other writers changed, so that local copies can be dropped.
// A store without it belongs to this process alone, whose own writes are known.
type Feed interface {
	// Watch registers f, called with each key that changed or went, from one
	// goroutine, in order. The zero Key means that changes may have been
	// missed and every copy must go; after a break it comes before FreshUntil
	// moves on again. It returns a function that ends the registration and must
	// not be called from f.
	Watch(f func(Key)) (stop func())
	// FreshUntil returns the instant up to which every change made by anyone
	// is known to have been delivered or will be noticed as missing: copies may
	// be served only before it. It stands still once the feed is down, and is
	// zero where it never was up.
	FreshUntil() time.Time
}
