package bundles

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/neosc/gate/authz/engine"
	"github.com/neosc/gate/bundles/archive"
)

// Options make a Manager.
type Options struct {
	// Engine gets the programs. Required.
	Engine *engine.Engine
	// Edge is what policies may read and set.
	Edge engine.Edge
	// Of these one is set, which says where the policy set comes from: Dir is a
	// directory of Rego and data, watched; File is a bundle, watched; Remote brings
	// bundles from elsewhere; FS is the built-in set, of which there is no other.
	Dir    string
	File   string
	Remote Remote
	FS     fs.FS
	// Kept is the folder of the bundles that were active; required with File and
	// Remote. Keep is how many it holds; 0 means DefaultKeep.
	Kept string
	Keep int
	// Trust, if set, has bundles refused that nobody in it has signed. A Dir is
	// never signed: with Trust there must be none. FS is of the program itself; Trust,
	// which may have no keys then, is for what is promoted in its place.
	Trust *archive.Trust
	// TestTime bounds the tests of a bundle; 0 means DefaultTestTime.
	TestTime time.Duration
	// Registerer takes the metrics; nil means none are kept. MetricPrefix begins
	// their names; "" means "pomerium_".
	Registerer   prometheus.Registerer
	MetricPrefix string
	// EntryPoint is the rule that decides; "" means engine.DefaultEntryPoint.
	EntryPoint string
	// Timeout is how long one decision may take; 0 means engine.DefaultTimeout.
	Timeout time.Duration
	// Adjust, if set, may put other data and another revision, which is always
	// there, into a set that was read, before it is compiled; it must not change what
	// the maps hold. An error refuses the set.
	Adjust func(*engine.Source) error
	// Logger says what was activated and what was refused. Required.
	Logger *slog.Logger
	// Now is the clock of Status; nil means time.Now.
	Now func() time.Time
	// Notify, if set, is called after each attempt that activated a set or was
	// refused for another reason than the one before, one at a time; for the audit
	// trail. Renew is none. It must not call Reload.
	Notify func(Status)
	// Quiet is how long the directory must be still before it is read; 0 means
	// 100 ms. Editors and rsync write a set in many steps.
	Quiet time.Duration
	// Busy is called before policy is read, tested or compiled, and what it returns
	// after: up to seconds of computing. nil is nothing.
	Busy func() (done func())
}

// Status says which policy set serves, and what came of the last attempt.
type Status struct {
	// Revision and Generation are those of the active program; "" and 0 when
	// none is.
	Revision   string
	Generation uint64
	// LoadedAt is when it was activated.
	LoadedAt time.Time
	// LastAttempt is when a set was last read, LastError what was wrong with
	// it; nil when it is the active one.
	LastAttempt time.Time
	LastError   error
	// Refused is the revision of the bundle that LastError is about, if it has one.
	Refused string
	// Bundle is the active bundle; nil if the set came from elsewhere. It is not to
	// be changed.
	Bundle *BundleStatus
	// Held is the revision that the source has and that an operator went back from.
	Held string
	// SourceError is why the source could not be asked, since SourceSince; nil if it
	// answered last.
	SourceError error
	SourceSince time.Time
	// Cause is what the last attempt came of.
	Cause Cause
}

// Cause is what an attempt to activate comes of.
type Cause string

// Causes.
const (
	// FromSource: the source has it. FromKept: the gate started with what was active
	// before. FromOperator: somebody went back to it.
	FromSource   Cause = "source"
	FromKept     Cause = "kept"
	FromOperator Cause = "operator"
)

// Manager keeps an Engine supplied with the policy set of one place. Safe for
// concurrent use.
type Manager struct {
	opt     Options
	kept    *kept // nil: there are no bundles
	metrics *meters
	offers  sync.Mutex    // one bundle at a time is asked for and tested, for minutes: no Rollback waits for it
	order   sync.Mutex    // from what the kept state says to what becomes of it; taken after offers
	reload  sync.Mutex    // one activation at a time; taken after order
	backs   atomic.Uint64 // rollbacks that were done
	mu      sync.Mutex    // guards status and seen
	status  Status
	seen    *sighting     // of File, when it was read last
	read    engine.Source // that the active program was made of, before Adjust
}

// New returns a Manager; nothing is read yet.
func New(o Options) (*Manager, error) {
	places := 0
	for _, is := range []bool{o.Dir != "", o.File != "", o.Remote != nil, o.FS != nil} {
		if is {
			places++
		}
	}
	bundled := o.File != "" || o.Remote != nil
	switch {
	case o.Engine == nil:
		return nil, errors.New("bundles: Options.Engine is missing")
	case o.Logger == nil:
		return nil, errors.New("bundles: Options.Logger is missing")
	case places != 1:
		return nil, errors.New("bundles: want one of Options.Dir, File, Remote and FS")
	case bundled && o.Kept == "":
		return nil, errors.New("bundles: Options.Kept is missing")
	case o.Trust != nil && o.Dir != "":
		return nil, fmt.Errorf("policy directory %s: a directory is not signed; build a bundle of it and sign that (gate bundle build, gate bundle sign)", o.Dir)
	case o.Trust != nil && len(o.Trust.Keys) == 0 && o.FS == nil:
		return nil, errors.New("bundles: Options.Trust has no keys")
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	o.Quiet = cmp.Or(o.Quiet, 100*time.Millisecond)
	if o.Busy == nil {
		o.Busy = func() func() { return func() {} }
	}
	m := &Manager{opt: o, metrics: newMeters(cmp.Or(o.MetricPrefix, "pomerium_"), o.Remote != nil)}
	if bundled {
		m.kept = &kept{dir: o.Kept, keep: max(1, cmp.Or(o.Keep, DefaultKeep))}
	}
	return m, m.metrics.register(o.Registerer)
}

// Reload reads the policy set, compiles and checks it, and activates it if it
// is sound and not the active one already. On an error the active one goes on;
// the error, which is kept in Status and, once a set is active, logged too,
// says what is wrong and where. The first Reload of a Manager of bundles begins
// with the one that was active last, if it is kept; a source out of reach is no
// error then.
func (m *Manager) Reload() error {
	if m.kept == nil {
		m.reload.Lock()
		defer m.reload.Unlock()
		program, src, err := m.compile()
		return m.finish(&candidate{program: program, src: src}, FromSource, err)
	}
	m.offers.Lock()
	defer m.offers.Unlock()
	if m.Status().Generation == 0 {
		return m.start()
	}
	return m.ask()
}

// finish activates what an attempt has brought, or says why it does not. The
// caller holds reload.
func (m *Manager) finish(c *candidate, cause Cause, err error) error {
	s := m.Status()
	was := s
	s.LastAttempt, s.LastError, s.Cause, s.Refused = m.opt.Now(), err, cause, ""
	unchanged := err == nil && s.Generation != 0 && c.program.Revision() == s.Revision && idOf(c.bundle) == idOf(s.Bundle)
	switch {
	case err != nil:
		m.opt.Engine.ActivationRefused()
		m.metrics.outcome(refused)
		if c.bundle != nil {
			s.Refused = c.bundle.Revision
		}
		if s.Generation == 0 { // there is none before: whoever starts the gate says why it does not start
			break
		}
		m.opt.Logger.Error("policy refused, the one before goes on", "place", m.place(), "active_revision", s.Revision, "refused_revision", s.Refused, "error", err)
	case unchanged:
		m.opt.Engine.ActivationUnchanged()
		m.metrics.outcome(unaltered)
	default:
		s.Revision, s.LoadedAt, s.Bundle = c.program.Revision(), s.LastAttempt, c.bundle
		s.Generation = m.opt.Engine.Activate(c.program)
		m.metrics.outcome(activated)
		m.opt.Logger.Info("policy activated", append([]any{"place", m.place(), "revision", s.Revision, "generation", s.Generation, "cause", string(cause)}, c.bundle.attributes()...)...)
	}
	if err == nil {
		m.read, s.Held = c.src, ""
		m.metrics.active(c.bundle)
	}
	m.set(s)
	again := err != nil && was.LastError != nil && was.LastError.Error() == err.Error()
	if m.opt.Notify != nil && !unchanged && !again {
		m.opt.Notify(s)
	}
	return err
}

func idOf(b *BundleStatus) string {
	if b == nil {
		return ""
	}
	return b.ID
}

// attributes are what a log says of a bundle.
func (b *BundleStatus) attributes() []any {
	if b == nil {
		return nil
	}
	return []any{"bundle", b.ID, "sequence", b.Sequence, "signed_by", b.Signature.KeyID, "tests", b.Tests}
}

// set keeps what asked has noted meanwhile.
func (m *Manager) set(s Status) {
	m.mu.Lock()
	defer m.mu.Unlock()
	s.SourceError, s.SourceSince = m.status.SourceError, m.status.SourceSince
	m.status = s
}

// Renew has Adjust see the active set again and activates what comes of it, if
// that is another program. Nothing is read, so that a set in the directory that
// was refused, or is half written, holds nothing up. On an error, which is
// logged, the active program goes on.
func (m *Manager) Renew() error {
	m.reload.Lock()
	defer m.reload.Unlock()
	s := m.Status()
	if s.Generation == 0 {
		return errors.New("no policy is active")
	}
	program, err := m.build(m.read)
	if err != nil {
		m.opt.Logger.Error("policy refused as it was to be adjusted, the one before goes on", "active_revision", s.Revision, "error", err)
		return err
	}
	if program.Revision() == s.Revision {
		return nil
	}
	s.Revision, s.LoadedAt = program.Revision(), m.opt.Now()
	s.Generation = m.opt.Engine.Activate(program)
	m.opt.Logger.Info("policy activated", "place", m.place(), "revision", s.Revision, "generation", s.Generation, "adjusted", true)
	m.set(s)
	return nil
}

// Status returns which set serves and how the last attempt went.
func (m *Manager) Status() Status {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.status
}

// compile does all that can fail before anything live is touched.
func (m *Manager) compile() (*engine.Program, engine.Source, error) {
	defer m.opt.Busy()()
	fsys := m.opt.FS
	if m.opt.Dir != "" {
		// A Root keeps symbolic links inside the directory.
		root, err := os.OpenRoot(m.opt.Dir)
		if err != nil {
			return nil, engine.Source{}, fmt.Errorf("policy directory: %w", err)
		}
		defer root.Close()
		fsys = root.FS()
	}
	src, err := Load(fsys)
	if err != nil {
		return nil, engine.Source{}, err
	}
	src.EntryPoint, src.Timeout = m.opt.EntryPoint, m.opt.Timeout
	p, err := m.build(src)
	return p, src, err
}

func (m *Manager) build(src engine.Source) (*engine.Program, error) {
	defer m.opt.Busy()()
	if m.opt.Adjust != nil {
		if err := src.Identify(); err != nil {
			return nil, err
		}
		if err := m.opt.Adjust(&src); err != nil {
			return nil, fmt.Errorf("policy refused: %w", err)
		}
	}
	return engine.Compile(src, m.opt.Edge)
}

// Place says where policy sets come from, for people.
func (m *Manager) Place() string { return m.place() }

func (m *Manager) place() string {
	if m.opt.Remote != nil {
		return m.opt.Remote.String()
	}
	return cmp.Or(m.opt.Dir, m.opt.File, "built in")
}
