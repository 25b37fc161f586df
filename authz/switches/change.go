package switches

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/neosc/gate/session"
)

// SetSwitch implements session.Switches.
func (k *Keeper) SetSwitch(ctx context.Context, name string, v *session.SwitchValue, version uint64) (session.Switch, error) {
	k.changes.Lock()
	defer k.changes.Unlock()
	// What others changed since the last look is changed here too: the version
	// tells whether the caller has seen it.
	if err := k.catchUp(ctx, k.b.Store); err != nil {
		return session.Switch{}, unavailable(err)
	}
	f, _, err := k.inForce()
	if err != nil {
		return session.Switch{}, err
	}
	before, ok := f.find(name)
	switch {
	case !ok && v != nil:
		return session.Switch{}, fmt.Errorf("%w: the policy declares no %.64q", session.ErrNoSwitch, name)
	case !ok:
		if before, err = k.forgotten(name); err != nil {
			return session.Switch{}, err
		}
	case v != nil:
		if err := check(before, *v); err != nil {
			return session.Switch{}, err
		}
	}
	if version != before.Version {
		return before, fmt.Errorf("%w: %s is %s, version %d, by %s", session.ErrSwitchChanged, name, before.Value, before.Version, orSomebody(before.ChangedBy))
	}
	if ok && sameSetting(before, v) {
		return before, nil
	}
	if err := k.change(ctx, before, v); err != nil {
		return session.Switch{}, err
	}
	if f, _, err = k.inForce(); err != nil {
		return session.Switch{}, err
	}
	after, ok := f.find(name)
	if !ok {
		after = session.Switch{Name: name, Title: name, Type: before.Type, Value: before.Default, Default: before.Default, Version: before.Version + 1}
	}
	return after, nil
}

// forgotten is a value that is kept of a switch that the set does not declare
// any longer; it can be taken back alone.
func (k *Keeper) forgotten(name string) (session.Switch, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, x := range k.stored {
		if x.Name == name && x.Value != nil {
			s := session.Switch{Name: name, Type: session.SwitchBoolean, Value: *x.Value, Set: true, Version: x.Version, ChangedBy: x.ChangedBy}
			if _, number := x.Value.Number(); number {
				s.Type, s.Default = session.SwitchNumber, session.NumberValue(0)
			}
			return s, nil
		}
	}
	return session.Switch{}, fmt.Errorf("%w: the policy declares no %.64q", session.ErrNoSwitch, name)
}

// sameSetting reports whether nothing would change.
func sameSetting(s session.Switch, v *session.SwitchValue) bool {
	if v == nil {
		return !s.Set
	}
	return s.Set && s.Value == *v
}

// change has the trail tell of v, stores it and puts it in force, in this order: a
// gate that is killed between two of them leaves no change that nobody knows of,
// and other gates hear of none that is not told. What then is not stored or is
// refused the trail tells of as well.
func (k *Keeper) change(ctx context.Context, before session.Switch, v *session.SwitchValue) error {
	by := session.OriginOf(ctx).Actor
	x := session.StoredSwitch{Name: before.Name, Value: v, Version: before.Version + 1, ChangedAt: k.o.Clock().UTC(), ChangedBy: by.ID}
	if by.Email != "" {
		x.ChangedBy = by.Email
	}
	if err := k.audit(ctx, before, v, ""); err != nil {
		return err
	}
	if err := k.put(ctx, x); err != nil {
		return errors.Join(err, k.audit(ctx, before, v, "not set: it could not be stored"))
	}
	refused := within(ctx, func(ctx context.Context) error { return k.catchUp(ctx, k.b.Store) })
	if refused == nil {
		return nil
	}
	undo := x
	undo.Version++
	if undo.Value = nil; before.Set {
		undo.Value = &before.Value
	}
	return errors.Join(unavailable(refused), k.put(ctx, undo), k.audit(ctx, before, v, "taken back: the policy is refused with it"))
}

func (k *Keeper) put(ctx context.Context, x session.StoredSwitch) error {
	return within(ctx, func(ctx context.Context) error { return k.b.Store.PutSwitch(ctx, x) })
}

// within gives each step a time of its own: one that took all of it must not keep
// what it left from being taken back.
func within(ctx context.Context, do func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), stepTime)
	defer cancel()
	return do(ctx)
}

func (k *Keeper) audit(ctx context.Context, before session.Switch, v *session.SwitchValue, note string) error {
	now := before.Default
	if v != nil {
		now = *v
	}
	k.o.Logger.Info(string(session.ActionPolicySwitched), "name", before.Name, "before", before.Value.String(), "value", now.String(), "by", session.OriginOf(ctx).Actor.ID, "note", note)
	if k.b.Audit == nil {
		return nil
	}
	e := session.NewEvent(ctx, session.ActionPolicySwitched, nil)
	e.Details = map[string]string{"name": before.Name, "before": before.Value.String(), "value": now.String(), "version": strconv.FormatUint(before.Version+1, 10)}
	if v == nil {
		e.Details["reset"] = "true"
	}
	if note != "" {
		e.Details["note"], e.Outcome = note, session.OutcomeDenied
	}
	if err := within(ctx, func(ctx context.Context) error { return k.b.Audit.Append(ctx, e) }); err != nil {
		return unavailable(fmt.Errorf("the audit trail: %w", err))
	}
	return nil
}

func unavailable(err error) error {
	if errors.Is(err, session.ErrUnavailable) {
		return err
	}
	return fmt.Errorf("%w: %w", session.ErrUnavailable, err)
}

func orSomebody(s string) string {
	if s == "" {
		return "nobody yet"
	}
	return s
}
