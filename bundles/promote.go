package bundles

import (
	"errors"
	"fmt"

	"github.com/neosc/gate/authz/engine"
)

// Promote activates a bundle by an operator's wish, in place of what the source
// has: signed by who is trusted and with its tests passed, as one of the source.
// Of a Manager of bundles it is the one that the next start begins with, and the
// source brings no other than a newer one. Else lasting is false: it goes on
// until its place changes or the gate starts again. Errors change nothing.
func (m *Manager) Promote(packed []byte) (s Status, lasting bool, err error) {
	backs := m.backs.Load()
	m.offers.Lock()
	defer m.offers.Unlock()
	a, sig, err := m.examined(packed)
	if err != nil {
		return m.Status(), false, err
	}
	c, err := m.candidateOf(a, sig, packed, true)
	m.order.Lock()
	defer m.order.Unlock()
	if err == nil && m.backs.Load() != backs {
		err = errors.New("an operator has gone back to another bundle meanwhile; promote it again if it is wanted still")
	}
	if err == nil {
		if m.kept != nil {
			err = m.take(c, FromOperator)
		} else {
			err = m.takeForNow(c)
		}
	}
	if err != nil {
		return m.Status(), false, fmt.Errorf("bundle %s: %w; the active one goes on", shown(a), err)
	}
	return m.Status(), m.kept != nil, nil
}

// takeForNow activates what has no place to be kept at.
func (m *Manager) takeForNow(c *candidate) (err error) {
	m.reload.Lock()
	defer m.reload.Unlock()
	if c.program, err = m.build(c.src); err != nil {
		return err
	}
	return m.finish(c, FromOperator, nil)
}

// Candidate compiles a bundle as Promote would, without its tests, and activates
// nothing.
func (m *Manager) Candidate(packed []byte) (build func() (*engine.Program, error), err error) {
	a, sig, err := m.examined(packed)
	if err != nil {
		return nil, err
	}
	c, err := m.candidateOf(a, sig, packed, false)
	if err != nil {
		return nil, err
	}
	return func() (*engine.Program, error) { return m.build(c.src) }, nil
}
