package session

import (
	"context"
	"errors"
	"time"
)

// MaxNoteSize bounds the data of one note.
const MaxNoteSize = 64 << 10

// Note is a small record that lives beside sessions for a while: the state of
// a sign-in under way, a logout token that was seen, a provider's tokens.
type Note struct {
	// Data is what the writer wants back: at most MaxNoteSize bytes, sealed by
	// the writer where a dump of the store must not show it.
	Data []byte
	// Expires is when the note is gone, kept to the millisecond at least.
	Expires time.Time
}

// LiveAt reports whether the note holds at t.
func (n Note) LiveAt(t time.Time) bool { return t.Before(n.Expires) }

// Notes keeps notes by key. Keys are hashes, so they tell nothing. All methods
// may be called at once from many goroutines, honour ctx, and wrap
// ErrUnavailable when the backend cannot be asked. now is the caller's clock:
// a note that is over at now is as good as gone, and what it leaves is swept
// with Store.Sweep or by the backend itself. session/storetest has this
// contract as tests.
type Notes interface {
	// PutNote stores a note where none lives: ErrExists if one does. Of many
	// callers at once one wins.
	PutNote(ctx context.Context, k Key, n Note, now time.Time) error
	// SetNote stores a note, whatever was there.
	SetNote(ctx context.Context, k Key, n Note, now time.Time) error
	// SwapNote replaces the note if its data is old: ErrConflict if it is not,
	// ErrNotFound if none lives. Of many callers with the same old one wins.
	SwapNote(ctx context.Context, k Key, old []byte, n Note, now time.Time) error
	// GetNote returns a living note; ErrNotFound if there is none.
	GetNote(ctx context.Context, k Key, now time.Time) (Note, error)
	// TakeNote returns a living note and removes it: of many callers one gets
	// it, the others ErrNotFound.
	TakeNote(ctx context.Context, k Key, now time.Time) (Note, error)
}

// NotesReader is a Notes that reads several at one go.
type NotesReader interface {
	// GetNotes returns living notes in the order of their keys; the zero Note
	// where there is none.
	GetNotes(ctx context.Context, now time.Time, keys ...Key) ([]Note, error)
}

// GetNotes reads several notes, at one go where n can, as NotesReader says.
func GetNotes(ctx context.Context, n Notes, now time.Time, keys ...Key) ([]Note, error) {
	if r, ok := n.(NotesReader); ok {
		return r.GetNotes(ctx, now, keys...)
	}
	out := make([]Note, len(keys))
	for i, k := range keys {
		var err error
		if out[i], err = n.GetNote(ctx, k, now); err != nil && !errors.Is(err, ErrNotFound) {
			return nil, err
		}
	}
	return out, nil
}
