package demo

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/neosc/gate/session"
)

// Sessions is what grants do to live sessions; *session.Manager does it.
type Sessions interface {
	// Regrant has all sessions of a user carry what the person's grant says now.
	Regrant(ctx context.Context, userID string) (int, error)
}

// Caps bound how many grants there may be that have not ended; 0 is no bound.
type Caps struct{ User, Organization, Address, All int }

// Step is a session.DemoStep with how it is run.
type Step struct {
	session.DemoStep
	// Timeout bounds each call; 0 means 15 s, at most 5 minutes.
	Timeout time.Duration
	// Retries is how often a failed start is tried again before the grant fails.
	// A failed end is tried until it is done.
	Retries int
	// Backoff is the pause before the first retry, which doubles with each; 0
	// means 500 ms. It grows to no more than 1 minute.
	Backoff time.Duration
}

// Options set up a Service. Store, Sessions and Audit are needed.
// Without Kinds nothing begins, and what began before is taken away.
type Options struct {
	Store    *Store
	Sessions Sessions
	Audit    session.Auditor
	Kinds    []session.WorkspaceKind
	// Accounts are asked whether somebody still has theirs; nil: nobody is.
	Accounts Accounts
	// Caps are those of grants. Zero ones do not bound.
	Caps Caps
	// Extension is how much longer than its kind's time a grant may last in all.
	Extension time.Duration
	// Pending is for how long a request waits for an administrator; 0 means 24 h.
	Pending time.Duration
	// Steps are begun in this order.
	Steps []Step
	// EndOrder names all steps in the order in which they are ended; nil means
	// the one opposite to that of their beginning.
	EndOrder []string
	// Workers is how many grants are worked on at once; 0 means 16.
	Workers int
	// Visibility is how long a claim holds of a gate that is not heard of any more;
	// 0 means 1.5 s.
	Visibility time.Duration
	// Poll is how often it is looked for what others have done; 0 means 500 ms.
	Poll time.Duration
	// Sweep is how often it is looked for what no grant owns; 0 means 1 minute.
	Sweep time.Duration
	// Keep is how long grants are kept after all is gone; 0 means 30 days.
	Keep time.Duration
	// Logger is slog.Default() if nil.
	Logger *slog.Logger
	// Registerer takes the metrics; nil means none are shown.
	Registerer prometheus.Registerer
	// MetricPrefix is "pomerium_" if empty.
	MetricPrefix string
}

const (
	maxTimeout = 5 * time.Minute
	maxBackoff = time.Minute
	// slack is what a call may take longer than its timeout until it is noticed.
	slack = 2 * time.Second
)

func (o *Options) complete() error {
	if o.Store == nil || o.Sessions == nil || o.Audit == nil {
		return errors.New("need Store, Sessions and Audit")
	}
	for d, fallback := range map[*time.Duration]time.Duration{
		&o.Pending: 24 * time.Hour, &o.Visibility: 1500 * time.Millisecond, &o.Poll: 500 * time.Millisecond, &o.Sweep: time.Minute, &o.Keep: 30 * 24 * time.Hour,
	} {
		if *d < 0 {
			return fmt.Errorf("a duration of %s is negative", *d)
		}
		if *d == 0 {
			*d = fallback
		}
	}
	if o.Workers < 0 || o.Extension < 0 {
		return errors.New("neither Workers nor Extension may be negative")
	}
	if o.Workers == 0 {
		o.Workers = 16
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if o.MetricPrefix == "" {
		o.MetricPrefix = "pomerium_"
	}
	return errors.Join(o.checkKinds(), o.checkSteps())
}

func (o *Options) checkKinds() error {
	seen := map[string]bool{}
	for _, k := range o.Kinds {
		switch {
		case k.Name == "" || len(k.Name) > 64 || seen[k.Name]:
			return fmt.Errorf("kind %q: its name is empty, too long, or taken", k.Name)
		case k.MaxDuration < time.Second || k.MaxDuration > 7*24*time.Hour:
			return fmt.Errorf("kind %q: %s is not from 1 s to 7 days", k.Name, k.MaxDuration)
		}
		seen[k.Name] = true
	}
	return nil
}

func (o *Options) checkSteps() error {
	var names []string
	for i := range o.Steps {
		s := &o.Steps[i]
		name := s.Name()
		if s.Timeout == 0 {
			s.Timeout = 15 * time.Second
		}
		if s.Backoff == 0 {
			s.Backoff = 500 * time.Millisecond
		}
		switch {
		case name == "" || len(name) > 64 || slices.Contains(names, name):
			return fmt.Errorf("step %q: its name is empty, too long, or taken", name)
		case s.Timeout < 0 || s.Timeout > maxTimeout || s.Retries < 0 || s.Retries > 100 || s.Backoff < 0 || s.Backoff > maxBackoff:
			return fmt.Errorf("step %q: want a timeout up to %s, 0 to 100 retries and a backoff up to %s", name, maxTimeout, maxBackoff)
		}
		names = append(names, name)
	}
	if o.EndOrder == nil {
		o.EndOrder = slices.Clone(names)
		slices.Reverse(o.EndOrder)
		return nil
	}
	if !slices.Equal(slices.Sorted(slices.Values(names)), slices.Sorted(slices.Values(o.EndOrder))) {
		return fmt.Errorf("the order of ends %q is not one of the steps %q", o.EndOrder, names)
	}
	return nil
}

func (o *Options) stepNames() []string {
	var out []string
	for _, s := range o.Steps {
		out = append(out, s.Name())
	}
	return out
}

// step returns the step of a name, nil if it is not configured any more.
func (o *Options) step(name string) *Step {
	for i := range o.Steps {
		if o.Steps[i].Name() == name {
			return &o.Steps[i]
		}
	}
	return nil
}

func (o *Options) kind(name string) (session.WorkspaceKind, bool) {
	i := slices.IndexFunc(o.Kinds, func(k session.WorkspaceKind) bool { return k.Name == name })
	if i < 0 {
		return session.WorkspaceKind{}, false
	}
	return o.Kinds[i], true
}
