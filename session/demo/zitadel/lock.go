package zitadel

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"time"

	"github.com/neosc/gate/session"
)

// The lock lasts lease; what is done under it ends well before, so that a gate
// that is slow does not write into the work of the next.
const (
	lease     = 30 * time.Second
	workTime  = 20 * time.Second
	firstWait = 5 * time.Millisecond
	lastWait  = 100 * time.Millisecond
	unlock    = 2 * time.Second
)

// locked does f while no other gate changes what a person may do. A gate that
// dies meanwhile lets go at the end of the lease.
func (s *Step) locked(ctx context.Context, userID string, f func(context.Context) error) error {
	h := sha256.New()
	fmt.Fprintf(h, "neosc zitadel authorization\x00%s\x00%s\x00%s\x00%s", s.o.Issuer, s.o.OrganizationID, s.o.ProjectID, userID)
	key := session.Key(h.Sum(nil))
	var mine [16]byte
	_, _ = rand.Read(mine[:])
	for wait := firstWait; ; wait = min(2*wait, lastWait) {
		now := s.o.Clock()
		err := s.o.Notes.PutNote(ctx, key, session.Note{Data: mine[:], Expires: now.Add(lease)}, now)
		if err == nil {
			break
		}
		if !errors.Is(err, session.ErrExists) {
			// Not wrapped: that the sessions' store is away is one step's failure, and
			// not that of the store that grants are in.
			return fmt.Errorf("the lock of a person's authorization: %v", err)
		}
		if err := pause(ctx, wait/2+mathrand.N(wait)); err != nil {
			return fmt.Errorf("waiting for another change of what the person may do: %w", err)
		}
	}
	defer func() {
		// Only one's own: who was slow may have lost it.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), unlock)
		defer cancel()
		now := s.o.Clock()
		_ = s.o.Notes.SwapNote(ctx, key, mine[:], session.Note{Expires: now}, now) // else the lease ends it
	}()
	ctx, cancel := context.WithTimeout(ctx, workTime)
	defer cancel()
	return f(ctx)
}
