package bundles

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/neosc/gate/authz/engine"
)

// Options make a Manager.
type Options struct {
	// Engine gets the programs. Required.
	Engine *engine.Engine
	// Edge is what policies may read and set.
	Edge engine.Edge
	// Dir is the policy directory. "" means FS is used and nothing is watched.
	Dir string
	// FS is the built-in policy set, for when Dir is "".
	FS fs.FS
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
	// refused, one at a time; for the audit trail. It must not call Reload.
	Notify func(Status)
	// Quiet is how long the directory must be still before it is read; 0 means
	// 100 ms. Editors and rsync write a set in many steps.
	Quiet time.Duration
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
}

// Manager keeps an Engine supplied with the policy set of one place. Safe for
// concurrent use.
type Manager struct {
	opt    Options
	reload sync.Mutex // one reload at a time
	mu     sync.Mutex // guards status
	status Status
	read   engine.Source // that the active program was made of, before Adjust
}

// New returns a Manager; nothing is read yet.
func New(o Options) (*Manager, error) {
	switch {
	case o.Engine == nil:
		return nil, errors.New("bundles: Options.Engine is missing")
	case o.Logger == nil:
		return nil, errors.New("bundles: Options.Logger is missing")
	case (o.Dir == "") == (o.FS == nil):
		return nil, errors.New("bundles: want one of Options.Dir and Options.FS")
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	o.Quiet = cmp.Or(o.Quiet, 100*time.Millisecond)
	return &Manager{opt: o}, nil
}

// Reload reads the policy set, compiles and checks it, and activates it if it
// is sound and not the active one already. On an error the active one goes on;
// the error, which is kept in Status and, once a set is active, logged too,
// says what is wrong and where.
func (m *Manager) Reload() error {
	m.reload.Lock()
	defer m.reload.Unlock()
	program, src, err := m.compile()
	s := m.Status()
	s.LastAttempt, s.LastError = m.opt.Now(), err
	unchanged := err == nil && s.Generation != 0 && program.Revision() == s.Revision
	switch {
	case err != nil:
		m.opt.Engine.ActivationRefused()
		if s.Generation == 0 { // there is none before: whoever starts the gate says why it does not start
			break
		}
		m.opt.Logger.Error("policy refused, the one before goes on", "place", m.place(), "active_revision", s.Revision, "error", err)
	case unchanged:
		m.opt.Engine.ActivationUnchanged()
	default:
		s.Revision, s.LoadedAt = program.Revision(), s.LastAttempt
		s.Generation = m.opt.Engine.Activate(program)
		m.opt.Logger.Info("policy activated", "place", m.place(), "revision", s.Revision, "generation", s.Generation)
	}
	if err == nil {
		m.read = src
	}
	m.mu.Lock()
	m.status = s
	m.mu.Unlock()
	if m.opt.Notify != nil && !unchanged {
		m.opt.Notify(s)
	}
	return err
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
	m.mu.Lock()
	m.status = s
	m.mu.Unlock()
	if m.opt.Notify != nil {
		m.opt.Notify(s)
	}
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

func (m *Manager) place() string { return cmp.Or(m.opt.Dir, "built in") }
