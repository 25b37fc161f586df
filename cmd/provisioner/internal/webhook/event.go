package webhook

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"time"
)

// What the gate asks for.
const (
	TypeStart = "demo.start"
	TypeEnd   = "demo.end"
	TypeList  = "demo.list"
)

// Grant is what the gate tells of one. For an orphan's end it is the ID alone.
type Grant struct {
	// ID is demo-<unix>-<random> and safe in names, labels and URLs.
	ID            string    `json:"id"`
	UserID        string    `json:"user_id"`
	Email         string    `json:"email"`
	Organization  string    `json:"organization"`
	WorkspaceType string    `json:"workspace_type"`
	Role          string    `json:"role"`
	StartedAt     time.Time `json:"started_at"`
	ExpiresAt     time.Time `json:"expires_at"`
}

type event struct {
	Type  string `json:"type"`
	Step  string `json:"step"`
	Grant Grant  `json:"grant"`
}

// grantID is at most 63 characters, since it is a host's name as well.
var grantID = regexp.MustCompile(`^demo-[0-9]{1,12}-[A-Za-z0-9][A-Za-z0-9_-]{0,44}$`)

// ValidID reports whether an id is one of a grant. No other reaches a name, a
// label or a URL, nor is one taken from what is found there.
func ValidID(id string) bool { return grantID.MatchString(id) }

// decode reads one message. Members that it does not know are another version's
// and of no consequence; what it does know has to be right.
func decode(body []byte, now time.Time) (event, error) {
	var e event
	d := json.NewDecoder(bytes.NewReader(body))
	if err := d.Decode(&e); err != nil {
		return e, fmt.Errorf("the body is not a message: %w", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return e, errors.New("something follows the message")
	}
	switch e.Type {
	case TypeList:
		return e, nil
	case TypeStart, TypeEnd:
	default:
		return e, fmt.Errorf("type %.40q is none of %s, %s, %s", e.Type, TypeStart, TypeEnd, TypeList)
	}
	if !ValidID(e.Grant.ID) {
		return e, fmt.Errorf("grant.id %.80q is not demo-<seconds>-<random>", e.Grant.ID)
	}
	if e.Type == TypeStart && !e.Grant.ExpiresAt.After(now) {
		return e, fmt.Errorf("grant %s ended at %s", e.Grant.ID, e.Grant.ExpiresAt.Format(time.RFC3339))
	}
	return e, nil
}
