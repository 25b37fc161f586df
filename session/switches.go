package session

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"time"
)

// Types of switches.
const (
	SwitchBoolean = "boolean"
	SwitchNumber  = "number"
	// SwitchInteger is a number without a fraction.
	SwitchInteger = "integer"
)

// MaxSwitchNumber bounds the numbers of switches either way: all integers up to
// it are exact in every program that reads them.
const MaxSwitchNumber = 1 << 53

// SwitchValue is what a switch stands at: a boolean or a number. The zero value
// is false. In JSON it is the bare boolean or number.
type SwitchValue struct {
	number bool
	on     bool
	n      float64
}

// BooleanValue makes a boolean.
func BooleanValue(on bool) SwitchValue { return SwitchValue{on: on} }

// NumberValue makes a number.
func NumberValue(n float64) SwitchValue { return SwitchValue{number: true, n: n} }

// Boolean returns the boolean; ok is false for a number.
func (v SwitchValue) Boolean() (on, ok bool) { return v.on, !v.number }

// Number returns the number; ok is false for a boolean.
func (v SwitchValue) Number() (n float64, ok bool) { return v.n, v.number }

// String writes it as ParseSwitchValue reads it.
func (v SwitchValue) String() string {
	if !v.number {
		return strconv.FormatBool(v.on)
	}
	return strconv.FormatFloat(v.n, 'f', -1, 64)
}

// ParseSwitchValue reads true, false or a decimal number. An error wraps
// ErrBadSwitch.
func ParseSwitchValue(s string) (SwitchValue, error) {
	switch s {
	case "true":
		return BooleanValue(true), nil
	case "false":
		return BooleanValue(false), nil
	}
	n, err := strconv.ParseFloat(s, 64)
	if err != nil || math.IsNaN(n) || math.Abs(n) > MaxSwitchNumber || len(s) > 64 || !json.Valid([]byte(s)) {
		return SwitchValue{}, fmt.Errorf("%w: %.64q is neither true nor false nor a number of at most 2^53", ErrBadSwitch, s)
	}
	return NumberValue(n + 0), nil // + 0 makes -0 a 0
}

// MarshalJSON implements json.Marshaler.
func (v SwitchValue) MarshalJSON() ([]byte, error) { return []byte(v.String()), nil }

// UnmarshalJSON implements json.Unmarshaler.
func (v *SwitchValue) UnmarshalJSON(b []byte) (err error) {
	*v, err = ParseSwitchValue(string(b))
	return err
}

// Switch is one of the policy's switches and where it stands.
type Switch struct {
	Name        string `json:"name"`
	Type        string `json:"type"`
	Title       string `json:"title"`
	Description string `json:"description,omitempty"`
	// Min and Max bound numbers, both included.
	Min *float64 `json:"min,omitempty"`
	Max *float64 `json:"max,omitempty"`
	// Default is what the policy set says, Value what is in force.
	Default SwitchValue `json:"default"`
	Value   SwitchValue `json:"value"`
	// Version counts the changes from 0; whoever changes a switch says which
	// one they saw.
	Version uint64 `json:"version"`
	// Set says that somebody has set it: that Value is not just the default.
	Set       bool      `json:"set"`
	ChangedAt time.Time `json:"changed_at,omitzero"`
	ChangedBy string    `json:"changed_by,omitempty"`
}

// SwitchList is all of them.
type SwitchList struct {
	// Revision and Generation are those of the policy that these are in force in.
	Revision   string   `json:"revision"`
	Generation uint64   `json:"generation"`
	Switches   []Switch `json:"switches"`
	// Ignored are values that are stored and not in force, and why.
	Ignored []IgnoredSwitch `json:"ignored"`
	// Trouble says why changes elsewhere are not heard of now; the values are the
	// last that were. "" if they are.
	Trouble string `json:"trouble,omitempty"`
}

// IgnoredSwitch is a stored value that the policy set has no use for.
type IgnoredSwitch struct {
	Name    string      `json:"name"`
	Value   SwitchValue `json:"value"`
	Version uint64      `json:"version"`
	Why     string      `json:"why"`
}

// Errors of Switches, matched with errors.Is; their texts may be shown.
var (
	// ErrNoSwitch: the policy set declares none of that name.
	ErrNoSwitch = errors.New("there is no such switch")
	// ErrBadSwitch: the value is of another type or out of range.
	ErrBadSwitch = errors.New("the switch cannot be set to that")
	// ErrSwitchChanged: somebody else has changed it since.
	ErrSwitchChanged = errors.New("the switch has been changed meanwhile")
)

// Switches is what administrators do with the policy's switches. Safe for
// concurrent use. A change is in force in this process when the method returns,
// and in the audit trail; in other processes within 5 s. Errors are those above, or wrap
// ErrUnavailable: then nothing has changed.
type Switches interface {
	Switches(ctx context.Context) (SwitchList, error)
	// SetSwitch sets the switch called name, last seen at version. A nil value
	// takes back what was set, so that the default holds; also what was set of a
	// switch that the policy has forgotten, of which little is known then.
	SetSwitch(ctx context.Context, name string, v *SwitchValue, version uint64) (Switch, error)
}

// StoredSwitch is a value as it is kept. A nil Value is one that was taken back.
type StoredSwitch struct {
	Name      string
	Value     *SwitchValue
	Version   uint64
	ChangedAt time.Time
	ChangedBy string
}

// SwitchStore keeps values. Safe for concurrent use. Errors wrap ErrUnavailable,
// but for ErrSwitchChanged.
type SwitchStore interface {
	// LoadSwitches returns what is kept, by name, at most 1000.
	LoadSwitches(ctx context.Context) ([]StoredSwitch, error)
	// PutSwitch keeps s.Value under s.Name if the version there is the one before
	// s.Version, which is 0 where nothing is kept: else ErrSwitchChanged.
	PutSwitch(ctx context.Context, s StoredSwitch) error
}
