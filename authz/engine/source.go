package engine

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"
)

// DefaultEntryPoint is the rule that decides unless a Source names another.
const DefaultEntryPoint = "data.neosc.authz.decision"

// Source is a policy set before it is compiled.
type Source struct {
	// Modules are Rego texts by file name; the names appear in errors.
	Modules map[string]string
	// Data is the base document `data`: JSON values (json.Number for numbers
	// keeps them exact). Compile copies it.
	Data map[string]any
	// EntryPoint is the rule that decides, as "data.neosc.authz.decision" or
	// "neosc/authz/decision"; "" means DefaultEntryPoint.
	EntryPoint string
	// Revision names the set in logs and decisions, at most 128 bytes; "" means
	// the first 16 hex digits of a hash over modules, data and entry point.
	Revision string
	// Timeout is how long one decision may take; 0 means DefaultTimeout.
	Timeout time.Duration
}

// Identify sets Revision, if it is "", to what Compile would. Whoever changes a
// set before it is compiled can keep what it was called.
func (s *Source) Identify() (err error) {
	if s.Revision != "" {
		return nil
	}
	named := *s
	if named.EntryPoint == "" {
		named.EntryPoint = DefaultEntryPoint
	}
	s.Revision, err = named.hash()
	return err
}

// hash is the same for the same content, whatever order the maps have.
func (s *Source) hash() (string, error) {
	h := sha256.New()
	for _, name := range slices.Sorted(maps.Keys(s.Modules)) {
		fmt.Fprintf(h, "%d:%s%d:%s", len(name), name, len(s.Modules[name]), s.Modules[name])
	}
	data, err := json.Marshal(s.Data) // sorts keys
	if err != nil {
		return "", fmt.Errorf("policy data is not JSON: %w", err)
	}
	fmt.Fprintf(h, "data%d:%sentry%s", len(data), data, s.EntryPoint)
	return hex.EncodeToString(h.Sum(nil)[:8]), nil
}
