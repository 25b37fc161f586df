package bundles

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/neosc/gate/bundles/archive"
)

// Remote brings bundles from elsewhere.
type Remote interface {
	// Fetch returns the bundle that is there now, of at most archive.MaxPacked
	// bytes, within a time of its own.
	Fetch(ctx context.Context) ([]byte, error)
	// Run calls offer with each bundle that is new there, and told with how each
	// asking went, until ctx ends. A bundle whose offer was an error may come again.
	Run(ctx context.Context, offer func([]byte) error, told func(error))
	// String names the place, without any secret.
	String() string
}

// startTime is how long a gate that has no kept bundle waits for its source.
const startTime = 30 * time.Second

// start activates the bundle that was active last, and then asks the source: a
// file at once; of a Remote that waits for Run, unless nothing is kept.
func (m *Manager) start() error {
	s, err := m.kept.open()
	if err != nil {
		return m.refuse(nil, FromKept, err)
	}
	if s.Active != "" {
		err = m.startKept()
	}
	begun := s.Active != "" && err == nil
	if begun && m.opt.Remote != nil {
		return nil
	}
	next := m.ask()
	if begun {
		return nil // what is wrong at the source is logged and in Status
	}
	return errors.Join(next, err)
}

func (m *Manager) startKept() error {
	m.order.Lock()
	defer m.order.Unlock()
	s, err := m.kept.read()
	if err != nil || m.Status().Generation != 0 { // an operator was there before
		return err
	}
	c, err := m.keptCandidate(s.Active)
	if err == nil {
		err = m.take(c, FromKept)
	}
	if err != nil {
		m.opt.Logger.Error("the policy that was active last cannot be activated again", "bundle", s.Active, "error", err)
		return fmt.Errorf("the policy that was active last: %w", err)
	}
	return nil
}

// keptCandidate makes a candidate of a kept bundle. It was good once: its
// signature must be of a key that is still trusted, but may have expired since.
func (m *Manager) keptCandidate(id string) (*candidate, error) {
	packed, a, err := m.kept.bundle(id)
	if err != nil {
		return nil, err
	}
	var sig archive.Signature
	if m.opt.Trust != nil {
		if sig, err = m.opt.Trust.Verify(a, m.opt.Now()); err != nil && !errors.Is(err, archive.ErrExpired) {
			return nil, err
		}
	}
	return m.candidateOf(a, sig, packed, false)
}

// ask has the source say what it has, and offers it.
func (m *Manager) ask() error {
	var packed []byte
	var err error
	if m.opt.Remote == nil {
		m.sight()
		if packed, err = readBounded(m.opt.File); err != nil {
			return m.refuse(nil, FromSource, fmt.Errorf("policy bundle: %w", err))
		}
		return m.offer(packed)
	}
	ctx, cancel := context.WithTimeout(context.Background(), startTime)
	defer cancel()
	if packed, err = m.opt.Remote.Fetch(ctx); err != nil {
		err = fmt.Errorf("policy bundle: %w", err)
		m.asked(err)
		return err
	}
	m.asked(nil)
	return m.offer(packed)
}

// offered is offer for Remote.Run.
func (m *Manager) offered(packed []byte) error {
	m.offers.Lock()
	defer m.offers.Unlock()
	return m.offer(packed)
}

// asked notes whether the source answered.
func (m *Manager) asked(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	was := m.status.SourceError
	m.metrics.source(err)
	switch {
	case err == nil:
		m.status.SourceError, m.status.SourceSince = nil, time.Time{}
		if was != nil {
			m.opt.Logger.Info("the bundle server answers again", "place", m.place())
		}
		return
	case was == nil:
		m.status.SourceSince = m.opt.Now()
	}
	if was == nil || was.Error() != err.Error() {
		m.opt.Logger.Error("the bundle server gives no bundle, the active policy goes on", "place", m.place(), "error", err)
	}
	m.status.SourceError = err
}

// offer activates a bundle of the source if there is nothing against it, before
// its tests, which may take minutes, and after them: an operator may have gone back
// meanwhile. The caller holds offers.
func (m *Manager) offer(packed []byte) error {
	a, sig, err := m.examined(packed)
	if err != nil {
		return m.refuse(a, FromSource, err)
	}
	if done, err := m.judged(a, sig, packed, nil); done {
		return err
	}
	c, err := m.candidateOf(a, sig, packed, true)
	_, err = m.judged(a, sig, packed, func() error {
		if err != nil {
			return err
		}
		return m.take(c, FromSource)
	})
	return err
}

// judged does with a bundle of the source what the kept state says by now, and then
// what take does, if it may become active. With no take it is not done then.
func (m *Manager) judged(a *archive.Archive, sig archive.Signature, packed []byte, take func() error) (done bool, err error) {
	m.order.Lock()
	defer m.order.Unlock()
	s, err := m.kept.read()
	if err != nil {
		return true, m.refuse(a, FromSource, err)
	}
	active := m.Status()
	if slices.Contains(s.Left, a.ID) && active.Generation != 0 {
		m.hold(shown(a))
		return true, nil
	}
	if a.ID == idOf(active.Bundle) {
		return true, m.renewSignature(a, sig, packed, &s)
	}
	if err = s.admits(a); err == nil && take == nil {
		return false, nil
	}
	if err == nil {
		err = take()
	}
	if err != nil {
		err = m.refuse(a, FromSource, fmt.Errorf("bundle %s: %w", shown(a), err))
	}
	return true, err
}

// take compiles a candidate as the switches stand by now, has the next start
// begin with it, and activates it. A gate that is killed in between starts with
// what had passed all that there is to pass.
func (m *Manager) take(c *candidate, cause Cause) (err error) {
	m.reload.Lock()
	defer m.reload.Unlock()
	if c.program, err = m.build(c.src); err != nil {
		return err
	}
	if cause != FromKept {
		err = m.keep(c, cause == FromOperator)
	}
	if err != nil {
		return err
	}
	m.kept.at("activating")
	return m.finish(c, cause, nil)
}

// refuse says what is wrong with a bundle, of which a is nil if it cannot be read.
func (m *Manager) refuse(a *archive.Archive, cause Cause, err error) error {
	c := &candidate{}
	if a != nil {
		c.bundle = &BundleStatus{ID: a.ID, Revision: shown(a), Sequence: a.Manifest.Sequence}
	}
	m.reload.Lock()
	defer m.reload.Unlock()
	return m.finish(c, cause, err)
}

// hold notes that the source still has what an operator went back from.
func (m *Manager) hold(revision string) {
	m.reload.Lock()
	defer m.reload.Unlock()
	s := m.Status()
	if s.Held != revision {
		m.opt.Logger.Info("the source still has the policy that an operator went back from", "place", m.place(), "revision", revision, "active_revision", s.Revision)
	}
	s.LastAttempt, s.LastError, s.Refused, s.Held = m.opt.Now(), nil, "", revision
	m.set(s)
	m.opt.Engine.ActivationUnchanged()
}

// renewSignature takes the active bundle as it comes again: signed anew, mostly.
func (m *Manager) renewSignature(a *archive.Archive, sig archive.Signature, packed []byte, s *keptState) error {
	was, _, err := m.kept.bundle(a.ID)
	if err != nil || !bytes.Equal(was, packed) {
		entry := KeptBundle{ID: a.ID, Revision: shown(a), Sequence: a.Manifest.Sequence, ActivatedAt: m.opt.Now()}
		if old := s.find(a.ID); old != nil {
			entry = *old
		}
		entry.Signer = sig.KeyID
		if _, err := m.kept.activate(entry, packed, false); err != nil {
			return m.refuse(a, FromSource, fmt.Errorf("bundle %s: %w", shown(a), err))
		}
	}
	m.reload.Lock()
	defer m.reload.Unlock()
	now := m.Status()
	b := *now.Bundle
	b.Signature = sig
	now.LastAttempt, now.LastError, now.Refused, now.Bundle, now.Held = m.opt.Now(), nil, "", &b, ""
	m.set(now)
	m.opt.Engine.ActivationUnchanged()
	m.metrics.outcome(unaltered)
	m.metrics.active(&b)
	return nil
}

func (m *Manager) keep(c *candidate, back bool) error {
	b := c.bundle
	_, err := m.kept.activate(KeptBundle{
		ID: b.ID, Revision: b.Revision, Sequence: b.Sequence, Signer: b.Signature.KeyID, ActivatedAt: m.opt.Now(),
	}, c.packed, back)
	return err
}

// ErrNoBundles says that the policy does not come in bundles, so that none are
// kept.
var ErrNoBundles = errors.New("the policy does not come in bundles: none are kept")

// Kept returns the bundles that can be gone back to, the active one first, and
// the one that is active.
func (m *Manager) Kept() (all []KeptBundle, active string, err error) {
	if m.kept == nil {
		return nil, "", ErrNoBundles
	}
	s, err := m.kept.read()
	return s.Bundles, s.Active, err
}

// Rollback activates a kept bundle: the one of a revision (or of an ID), or, if
// name is "", the one that was active before, without those that an operator
// went back from. What the source has does not come again until it is another.
// It waits for no bundle's tests: one that is newer becomes active when they have
// passed, one that is being promoted does not. Errors change nothing.
func (m *Manager) Rollback(name string) (Status, error) {
	if m.kept == nil {
		return m.Status(), ErrNoBundles
	}
	m.order.Lock()
	defer m.order.Unlock()
	s, err := m.kept.read()
	if err != nil {
		return m.Status(), err
	}
	to, err := s.target(name)
	if err != nil {
		return m.Status(), err
	}
	before := m.Status()
	if to.ID == idOf(before.Bundle) {
		return before, fmt.Errorf("bundle %s is active already", to.Revision)
	}
	c, err := m.keptCandidate(to.ID)
	if err == nil {
		err = m.take(c, FromOperator)
	}
	if err != nil {
		return m.Status(), fmt.Errorf("bundle %s: %w; the active one goes on", to.Revision, err)
	}
	m.backs.Add(1)
	m.reload.Lock()
	defer m.reload.Unlock()
	now := m.Status()
	if held := cmp.Or(before.Held, before.Revision); held != now.Revision {
		now.Held = held // until the source says otherwise
		m.set(now)
	}
	return now, nil
}

// target is the bundle that somebody means.
func (s *keptState) target(name string) (*KeptBundle, error) {
	if name != "" {
		return s.named(name)
	}
	from := s.find(s.Active)
	for i := range s.Bundles {
		b := &s.Bundles[i]
		older := from != nil && b.Sequence > 0 && b.Sequence < from.Sequence // left for a newer one, if at all
		if b.ID != s.Active && (older || !slices.Contains(s.Left, b.ID)) {
			return b, nil
		}
	}
	if len(s.Left) > 0 && len(s.Bundles) > 1 {
		return nil, errors.New("all that is kept besides is what was gone back from: name one, see gate bundle list")
	}
	return nil, errors.New("there is no kept bundle to go back to; see gate bundle list")
}
