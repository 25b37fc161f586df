package mfa

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/url"
	"sync/atomic"
	"time"

	"github.com/go-webauthn/webauthn/protocol"
	"github.com/go-webauthn/webauthn/webauthn"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/neosc/gate/session"
)

//go:embed migrations
var migrations embed.FS

// versionTable keeps this package's schema version, apart from that of others
// in the same database.
const versionTable = "mfa_schema"

// callTimeout bounds one statement.
const callTimeout = 5 * time.Second

// Guesser charges a guess to the budgets of an account and of an address, as
// one at its password is: *session.TooManyGuessesError if there is none left.
// Safe for concurrent use.
type Guesser interface {
	ChargeGuess(ctx context.Context, email, clientAddr string) error
}

// Budget of guesses at a second factor, besides those that it shares with the
// password. Who knows a password has three codes of a million that are right at
// each guess: at 480 guesses a day one in 700 would come in within a day, where
// the password's own budget would let one in 50.
const (
	guessBurst = 20
	guessEvery = 3 * time.Minute
)

// Options set up a Store. All but Clock, Logger, Registerer and MetricPrefix
// are needed.
type Options struct {
	// DB is an open database, which stays its opener's to close.
	DB *sql.DB
	// Dialect is what it speaks.
	Dialect session.SQLDialect
	// Notes keeps what takes two requests.
	Notes session.Notes
	// Keys returns keys of 32 bytes that all replicas share: the first seals,
	// all open.
	Keys    func() ([][]byte, error)
	Guesses Guesser
	Budget  session.GuessBudget
	// Origin is the gate's own origin as browsers see it. Its host is the
	// relying party of passkeys: none of the applications, which are siblings
	// below the same domain, can ask for one.
	Origin string
	// Name is what apps and authenticators show.
	Name string
	// Clock is time.Now if nil.
	Clock func() time.Time
	// Logger is slog.Default() if nil.
	Logger *slog.Logger
	// Registerer takes the metrics; nil means none are shown.
	Registerer prometheus.Registerer
	// MetricPrefix is "pomerium_" if empty.
	MetricPrefix string
}

// Store implements session.SecondFactors. Safe for concurrent use.
type Store struct {
	o       Options
	db      *sql.DB
	web     *webauthn.WebAuthn
	metrics *prometheus.CounterVec
	keys    atomic.Pointer[dataKeys]
	trouble atomic.Pointer[error]
}

// New returns a Store on o.DB, whose schema it brings up to date.
func New(ctx context.Context, o Options) (*Store, error) {
	if err := o.complete(); err != nil {
		return nil, fmt.Errorf("second factors: %w", err)
	}
	u, err := url.Parse(o.Origin)
	if err != nil || u.Host == "" || u.Scheme+"://"+u.Host != o.Origin {
		return nil, fmt.Errorf("second factors: Origin %q is not an origin such as https://gate.example.com", o.Origin)
	}
	st := &Store{o: o, db: o.DB}
	st.web, err = webauthn.New(&webauthn.Config{
		RPID: u.Hostname(), RPDisplayName: o.Name, RPOrigins: []string{o.Origin},
		AttestationPreference: protocol.PreferNoAttestation,
		AuthenticatorSelection: protocol.AuthenticatorSelection{
			ResidentKey: protocol.ResidentKeyRequirementPreferred, UserVerification: protocol.VerificationRequired,
		},
		Timeouts: webauthn.TimeoutsConfig{
			Login:        webauthn.TimeoutConfig{Enforce: false, Timeout: ceremonyLife, TimeoutUVD: ceremonyLife},
			Registration: webauthn.TimeoutConfig{Enforce: false, Timeout: ceremonyLife, TimeoutUVD: ceremonyLife},
		},
	})
	if err != nil {
		return nil, fmt.Errorf("second factors: %w", err)
	}
	if st.metrics, err = newMetrics(o.Registerer, o.MetricPrefix); err != nil {
		return nil, fmt.Errorf("second factors: %w", err)
	}
	files, err := fs.Sub(migrations, "migrations")
	if err == nil {
		err = o.Dialect.Migrate(ctx, o.DB, files, versionTable)
	}
	if err != nil {
		return nil, fmt.Errorf("second factors: %w", err)
	}
	return st, nil
}

func (o *Options) complete() error {
	if o.DB == nil || o.Dialect == nil || o.Notes == nil || o.Keys == nil || o.Guesses == nil || o.Budget == nil || o.Name == "" {
		return errors.New("need DB, Dialect, Notes, Keys, Guesses, Budget, Origin and Name")
	}
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if o.MetricPrefix == "" {
		o.MetricPrefix = "pomerium_"
	}
	return nil
}

// unavailable says that the database could not be asked, and why.
func (st *Store) unavailable(err error) error {
	return fmt.Errorf("%w: second factors: %w", session.ErrUnavailable, st.o.Dialect.Tidy(err))
}

func (st *Store) now() time.Time { return st.o.Clock().UTC().Truncate(time.Millisecond) }

// exec runs one statement that changes rows and returns how many it changed.
func (st *Store) exec(ctx context.Context, query string, args ...any) (int64, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	res, err := st.db.ExecContext(ctx, st.o.Dialect.Bind(query), args...)
	if err != nil {
		return 0, st.unavailable(err)
	}
	n, err := res.RowsAffected()
	if err != nil {
		return 0, st.unavailable(err)
	}
	return n, nil
}

// row scans one row; sql.ErrNoRows is returned as it is.
func (st *Store) row(ctx context.Context, query string, args []any, to ...any) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	err := st.db.QueryRowContext(ctx, st.o.Dialect.Bind(query), args...).Scan(to...)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return st.unavailable(err)
	}
	return err
}

// charge takes a guess from the budgets, or refuses.
func (st *Store) charge(ctx context.Context, u session.FactorUser, clientAddr string) error {
	if err := st.o.Guesses.ChargeGuess(ctx, u.Email, clientAddr); err != nil {
		return err
	}
	ok, wait, err := st.o.Budget.Take(ctx, st.o.Clock(), "guess_factor", u.ID, 1/guessEvery.Seconds(), guessBurst)
	switch {
	case err != nil:
		return fmt.Errorf("%w: guesses cannot be counted: %w", session.ErrUnavailable, err)
	case !ok:
		return &session.TooManyGuessesError{RetryAfter: max(wait, time.Second)}
	}
	return nil
}

// Factors implements session.SecondFactors.
func (st *Store) Factors(ctx context.Context, userID string) (session.Factors, error) {
	var f session.Factors
	var added, used int64
	err := st.row(ctx, `SELECT added_at, used_at FROM mfa_app WHERE user_id = ?`, []any{userID}, &added, &used)
	switch {
	case err == nil:
		f.App = &session.Factor{Name: "Authenticator app", AddedAt: instant(added), UsedAt: instant(used)}
	case !errors.Is(err, sql.ErrNoRows):
		return f, err
	}
	err = st.row(ctx, `SELECT COUNT(*), COUNT(CASE used_at WHEN 0 THEN 1 END) FROM mfa_recovery WHERE user_id = ?`, []any{userID}, &f.RecoveryMade, &f.Recovery)
	if err != nil {
		return f, err
	}
	keys, err := st.passkeys(ctx, userID)
	for i := range keys {
		f.Passkeys = append(f.Passkeys, keys[i].Factor)
	}
	return f, err
}

// RemoveFactors implements session.SecondFactors.
func (st *Store) RemoveFactors(ctx context.Context, userID string) error {
	for _, table := range []string{"mfa_app", "mfa_passkeys", "mfa_recovery"} {
		if _, err := st.exec(ctx, `DELETE FROM `+table+` WHERE user_id = ?`, userID); err != nil {
			return err
		}
	}
	return nil
}

// instant reads a column of microseconds, in which 0 is never.
func instant(us int64) time.Time {
	if us == 0 {
		return time.Time{}
	}
	return time.UnixMicro(us).UTC()
}
