package engine

import (
	"strings"

	"github.com/neosc/gate/authz/engine/machine"
)

// requests says what all requests have in common, for the trial: what none can
// bring about it need not look for.
type requests struct{}

// Always implements machine.Schema.
func (requests) Always(path []string) bool {
	if len(path) > 0 && strings.Contains(path[len(path)-1], ".") {
		return false
	}
	switch kind := slotKinds[strings.Join(path, ".")]; kind {
	case slotDocument, slotSession, slotSource, slotDestination, slotIdentityHeaders, slotSourcePrincipal, slotDestinationPrincipal, slotUserName, slotOrganization:
		// Of those that are there or not, what lies in them is not missing.
		return kind == slotSession && len(path) == 2 || (kind == slotSource || kind == slotDestination) && len(path) == 4
	}
	return true
}

// Kind implements machine.Schema.
func (requests) Kind(path []string) (k machine.Kind, known bool) {
	s := slotOf(machine.Path{Segments: path})
	switch {
	case s.kind == slotDocument:
		return 0, false
	case s.kind <= slotIdentityHeaders:
		return machine.Object, true
	case s.kind <= slotKindOfSession:
		return machine.String, true
	case s.kind <= slotAMR:
		return machine.Array, true
	case s.kind == slotEmailVerified:
		return machine.Bool, true
	case s.kind <= slotDestinationPort:
		return machine.Number, true
	}
	return machine.Object, len(s.path) == 0
}
