package session

import (
	"context"
	"time"
)

// Directory keeps whom providers have signed in, for good: sessions end, and
// who the people were should still be known. Safe for concurrent use. Methods
// return an error that wraps ErrUnavailable when it cannot be asked.
type Directory interface {
	// SignedIn keeps that the provider said at an instant who somebody is, and
	// reports whether it is the first time. Issuer and subject say who it is:
	// the same email, or the same subject at another issuer, is another person.
	// LastSeen is exact to a minute.
	SignedIn(ctx context.Context, id Identity, at time.Time) (first bool, err error)
	// ListPeople returns them by email.
	ListPeople(ctx context.Context, q PeopleQuery) ([]User, error)
}

// PeopleQuery selects people. Zero fields do not restrict.
type PeopleQuery struct {
	// Email is one in any case. Search is a part of the email or the name, in any case.
	Email, Search string
	// Limit is the most people to return: 1 to 1000; 0 means 100.
	Limit int
}
