package account

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"runtime"
	"time"

	"github.com/neosc/gate/session"
)

//go:embed migrations
var migrations embed.FS

// versionTable keeps this package's schema version, apart from that of others
// in the same database.
const versionTable = "account_schema"

// callTimeout bounds one statement: a database that answers nothing must not
// hold a sign-in, and its place in the queue of hashes, for ever.
const callTimeout = 5 * time.Second

// Guesses is one guess budget: Burst at once, then one in Every.
type Guesses struct {
	Burst int
	Every time.Duration
}

func (g Guesses) validate() error {
	if g.Burst < 1 || g.Every <= 0 {
		return fmt.Errorf("a guess budget of %d and one in %s: want at least 1 and a time above 0", g.Burst, g.Every)
	}
	return nil
}

// Options set up a Store. DB, Dialect and Budget are needed.
type Options struct {
	// DB is an open database, which stays its opener's to close.
	DB *sql.DB
	// Dialect is what it speaks.
	Dialect session.SQLDialect
	Budget  session.GuessBudget
	// Clock is time.Now if nil.
	Clock func() time.Time
	// Params are the costs of new hashes; zero means DefaultParams. Older
	// hashes are computed anew at their user's next sign-in.
	Params Params
	// Rules are those of new passwords; zero means DefaultRules.
	Rules Rules
	// HashesAtOnce and HashesWaiting bound how many sign-ins compute and wait;
	// 0 means the number of cores, and four times that. One more is ErrBusy.
	HashesAtOnce, HashesWaiting int
	// PerAccount and PerAddress are the guess budgets; zero means 10 and then
	// one a minute, and 30 and then one in 6 s.
	PerAccount, PerAddress Guesses
	// DemoGrant is what AddUser gives to demo accounts; zero means a "linux"
	// workspace for 1800 s.
	DemoGrant DemoGrant
	// Logger is slog.Default() if nil.
	Logger *slog.Logger
}

// Store keeps local users and people of providers. It implements
// session.Authenticator and session.Directory, and is safe for concurrent use.
type Store struct {
	o      Options
	db     *sql.DB
	hasher *hasher
	// person and newPerson are made ready once: each sign-in at a provider asks
	// the one, and SQLite would read the text anew each time.
	person, newPerson *sql.Stmt
}

// New returns a Store on o.DB, whose schema it brings up to date.
func New(ctx context.Context, o Options) (*Store, error) {
	if err := o.complete(); err != nil {
		return nil, fmt.Errorf("accounts: %w", err)
	}
	files, err := fs.Sub(migrations, "migrations")
	if err == nil {
		err = o.Dialect.Migrate(ctx, o.DB, files, versionTable)
	}
	if err != nil {
		return nil, fmt.Errorf("accounts: %w", err)
	}
	st := &Store{o: o, db: o.DB, hasher: newHasher(o.Params, o.HashesAtOnce, o.HashesWaiting)}
	for to, query := range map[**sql.Stmt]string{&st.person: personByID, &st.newPerson: insertPerson} {
		if *to, err = o.DB.PrepareContext(ctx, o.Dialect.Bind(query)); err != nil {
			return nil, fmt.Errorf("accounts: %w", o.Dialect.Tidy(err))
		}
	}
	return st, nil
}

func (o *Options) complete() error {
	if o.DB == nil || o.Dialect == nil || o.Budget == nil {
		return errors.New("need DB, Dialect and Budget")
	}
	if o.HashesAtOnce < 0 || o.HashesWaiting < 0 {
		return errors.New("HashesAtOnce and HashesWaiting must not be negative")
	}
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if o.Params == (Params{}) {
		o.Params = DefaultParams()
	}
	if o.Rules.Min == 0 && o.Rules.Words == nil {
		o.Rules = DefaultRules()
	}
	if o.HashesAtOnce == 0 {
		o.HashesAtOnce = runtime.GOMAXPROCS(0)
	}
	if o.HashesWaiting == 0 {
		o.HashesWaiting = 4 * o.HashesAtOnce
	}
	if o.PerAccount == (Guesses{}) {
		o.PerAccount = Guesses{Burst: 10, Every: time.Minute}
	}
	if o.PerAddress == (Guesses{}) {
		o.PerAddress = Guesses{Burst: 30, Every: 6 * time.Second}
	}
	if o.DemoGrant == (DemoGrant{}) {
		o.DemoGrant = DemoGrant{WorkspaceType: "linux", Seconds: 1800}
	}
	for _, g := range []Guesses{o.PerAccount, o.PerAddress} {
		if err := g.validate(); err != nil {
			return err
		}
	}
	return errors.Join(o.Params.validate(), o.Rules.validate(), o.DemoGrant.validate())
}

// unavailable says that the database could not be asked, and why.
func (st *Store) unavailable(err error) error {
	return fmt.Errorf("%w: %w", session.ErrUnavailable, st.o.Dialect.Tidy(err))
}
