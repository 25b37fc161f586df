package switches

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/neosc/gate/session"
)

// pollEvery is how often a change elsewhere is looked for. With the time that a
// set takes to compile it stays well below the 5 s that are promised.
const pollEvery = time.Second

// stepTime bounds each step of what must come to an end although whoever asked has
// gone.
const stepTime = 5 * time.Second

// Options set up a Keeper.
type Options struct {
	// Logger is slog.Default() if nil.
	Logger *slog.Logger
	// Clock is time.Now if nil.
	Clock func() time.Time
	// Every is how often a change elsewhere is looked for; 0 means 1 s.
	Every time.Duration
	// Registerer takes the metrics; nil means none are shown.
	Registerer prometheus.Registerer
	// MetricPrefix is "pomerium_" if empty.
	MetricPrefix string
}

// Backing is what a Keeper needs once the rest of the gate stands. Store and
// Activate are needed.
type Backing struct {
	Store session.SwitchStore
	// Audit keeps who changed what; nil: nothing is kept.
	Audit session.Auditor
	// Copy is a file of the values that were in force last, "" for none. A gate
	// that starts while the store is away goes by it.
	Copy string
	// Activate compiles the active set anew, with the values that Fold gives by
	// then, and returns when decisions are taken by it. On an error the program
	// of before goes on.
	Activate func() error
	// Active says which program decides.
	Active func() (revision string, generation uint64)
}

// Keeper knows where the switches stand. It implements session.Switches and is
// safe for concurrent use.
type Keeper struct {
	o       Options
	changes sync.Mutex // one change, or look for changes, at a time
	behind  prometheus.Gauge
	knows   atomic.Bool

	mu      sync.Mutex // guards what follows
	b       Backing
	stored  []session.StoredSwitch
	made    []*folded // the latest, newest last
	trouble error
}

var _ session.Switches = (*Keeper)(nil)

// New returns a Keeper with all switches at their defaults.
func New(o Options) (*Keeper, error) {
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.Every == 0 {
		o.Every = pollEvery
	}
	if o.MetricPrefix == "" {
		o.MetricPrefix = "pomerium_"
	}
	k := &Keeper{o: o, behind: prometheus.NewGauge(prometheus.GaugeOpts{
		Name: o.MetricPrefix + "policy_switches_unheard",
		Help: "1 while changes of policy switches elsewhere are not heard of: the last values that were known hold.",
	})}
	if o.Registerer != nil {
		if err := o.Registerer.Register(k.behind); err != nil {
			return nil, fmt.Errorf("policy switches: metrics: %w", err)
		}
	}
	return k, nil
}

// maxMade is how many sets are remembered: the active one, and those that were
// compiled since and refused.
const maxMade = 8

// Fold puts the values that are known now into a set's data, which it does not
// change, and marks the revision with them. It fails if what the set declares is
// not well-formed.
func (k *Keeper) Fold(data map[string]any, revision string) (map[string]any, string, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	data, f, err := fold(data, revision, k.stored)
	if err != nil {
		return nil, "", err
	}
	k.made = slices.DeleteFunc(k.made, func(x *folded) bool { return x.revision == f.revision })
	if k.made = append(k.made, f); len(k.made) > maxMade {
		k.made = slices.Delete(k.made, 0, 1)
	}
	return data, f.revision, nil
}

// ErrUnknown is wrapped by errors of Open while the store is away and there is no
// copy. Run finds out when it is back.
var ErrUnknown = errors.New("it is not known what the policy's switches are set to")

// Known reports whether the values were known once. Until then nobody must
// decide: the defaults may open what somebody has closed.
func (k *Keeper) Known() bool { return k.knows.Load() }

// Open has the Keeper read what is stored and put it in force; while the store
// is away, what the copy says.
func (k *Keeper) Open(ctx context.Context, b Backing) error {
	if b.Store == nil || b.Activate == nil || b.Active == nil {
		return errors.New("policy switches: need Store, Activate and Active")
	}
	k.mu.Lock()
	k.b = b
	k.mu.Unlock()
	k.changes.Lock()
	defer k.changes.Unlock()
	err := k.catchUp(ctx, b.Store)
	if err == nil {
		err = k.keepCopy(k.known())
	}
	if errors.Is(err, session.ErrUnavailable) && b.Copy != "" {
		if e := k.catchUp(ctx, fromCopy(b.Copy)); e != nil {
			k.note(err)
			return fmt.Errorf("%w: %w; nor is there a copy of what they were set to last: %w", ErrUnknown, err, e)
		}
		k.note(err)
		err = nil
	}
	if err == nil {
		k.sayIgnored()
	}
	return err
}

// Run looks for changes elsewhere until ctx ends.
func (k *Keeper) Run(ctx context.Context) {
	tick := time.NewTicker(k.o.Every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			k.look(ctx)
		}
	}
}

func (k *Keeper) look(ctx context.Context) {
	k.changes.Lock()
	defer k.changes.Unlock()
	err := k.catchUp(ctx, k.b.Store)
	if ctx.Err() == nil {
		k.note(err)
	}
}

// note remembers and says whether changes elsewhere are heard of.
func (k *Keeper) note(err error) {
	k.mu.Lock()
	before := k.trouble
	k.trouble = err
	k.mu.Unlock()
	switch {
	case err != nil:
		k.behind.Set(1)
		if before == nil || before.Error() != err.Error() {
			k.o.Logger.Error("policy switches: the last values hold", "error", err)
		}
	case before != nil:
		k.behind.Set(0)
		k.o.Logger.Info("policy switches: changes are heard of again")
	}
}

// Trouble says why changes elsewhere are not in force here, nil if they are.
func (k *Keeper) Trouble() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.trouble
}

// reader is the part of a store that catchUp needs.
type reader interface {
	LoadSwitches(ctx context.Context) ([]session.StoredSwitch, error)
}

// catchUp reads what is stored and puts it in force if it is something else.
func (k *Keeper) catchUp(ctx context.Context, from reader) error {
	now, err := from.LoadSwitches(ctx)
	if err != nil {
		return err
	}
	k.mu.Lock()
	before := k.stored
	same := reflect.DeepEqual(before, now)
	k.stored = now
	k.mu.Unlock()
	if same {
		k.knows.Store(true)
		return nil
	}
	if err := k.b.Activate(); err != nil {
		k.mu.Lock()
		k.stored = before
		k.mu.Unlock()
		return fmt.Errorf("the policy is refused with the values that are stored: %w", err)
	}
	k.knows.Store(true)
	if err := k.keepCopy(now); err != nil {
		k.o.Logger.Warn("policy switches: no copy is kept for a start without the store", "error", err)
	}
	return nil
}

func (k *Keeper) known() []session.StoredSwitch {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.stored
}

// inForce are the switches as the active program has them.
func (k *Keeper) inForce() (*folded, uint64, error) {
	if k.b.Active == nil {
		return nil, 0, fmt.Errorf("%w: the gate is starting", session.ErrUnavailable)
	}
	revision, generation := k.b.Active()
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, f := range k.made {
		if f.revision == revision {
			return f, generation, nil
		}
	}
	return nil, 0, fmt.Errorf("%w: the switches of revision %s are not known", session.ErrUnavailable, revision)
}

// Switches implements session.Switches.
func (k *Keeper) Switches(context.Context) (session.SwitchList, error) {
	f, generation, err := k.inForce()
	if err != nil {
		return session.SwitchList{}, err
	}
	out := session.SwitchList{Revision: f.revision, Generation: generation, Switches: slices.Clone(f.switches), Ignored: slices.Clone(f.ignored)}
	if err := k.Trouble(); err != nil {
		out.Trouble = err.Error()
	}
	return out, nil
}

func (f *folded) find(name string) (session.Switch, bool) {
	i := slices.IndexFunc(f.switches, func(s session.Switch) bool { return s.Name == name })
	if i < 0 {
		return session.Switch{}, false
	}
	return f.switches[i], true
}

func (k *Keeper) sayIgnored() {
	if f, _, err := k.inForce(); err == nil {
		for _, x := range f.ignored {
			k.o.Logger.Warn("policy switches: a stored value is ignored", "name", x.Name, "value", x.Value.String(), "why", x.Why)
		}
	}
}
