package sqlstore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/url"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/prometheus/client_golang/prometheus"
)

// Defaults of PostgresOptions.
const (
	DefaultTimeout = 500 * time.Millisecond // half of what the edge waits
	DefaultConns   = 8
)

const (
	// bulkTimeout bounds what goes through many rows.
	bulkTimeout = 5 * time.Second
	// connectTimeout bounds one attempt to connect.
	connectTimeout = 2 * time.Second
)

// PostgresOptions set up a PostgresStore. Only URL is needed.
type PostgresOptions struct {
	// URL says where Postgres is, as libpq reads it:
	//
	//	postgres://user:password@host:5432/database?sslmode=verify-full
	//	postgres://user:password@first,second:5433/database   the primary of both
	//	postgres://user@/database?host=/run/postgresql        a Unix socket
	//
	// It may hold a password and is never shown; PGPASSWORD and ~/.pgpass work
	// as well. The tables are in the schema that search_path begins with.
	URL string
	// Timeout bounds each call: 10 ms to 10 s, 0 means DefaultTimeout. What goes
	// through many rows (List, DeleteUser, CountLive) has 5 s.
	Timeout time.Duration
	// Conns is the most connections that are open at once, besides the one of
	// the feed: 1 to 1000, 0 means DefaultConns.
	Conns int
	// Clock is time.Now if nil. It must carry a monotonic reading.
	Clock func() time.Time
	// Logger is slog.Default() if nil.
	Logger *slog.Logger
	// Registerer takes the metrics of the feed; nil means none are shown.
	Registerer prometheus.Registerer
	// MetricPrefix is "pomerium_" if empty.
	MetricPrefix string
}

func (o *PostgresOptions) complete() error {
	if o.Timeout == 0 {
		o.Timeout = DefaultTimeout
	}
	if o.Conns == 0 {
		o.Conns = DefaultConns
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
	switch {
	case o.Timeout < 10*time.Millisecond || o.Timeout > 10*time.Second:
		return fmt.Errorf("a timeout of %v is not 10ms to 10s", o.Timeout)
	case o.Conns < 1 || o.Conns > 1000:
		return fmt.Errorf("%d connections are not 1 to 1000", o.Conns)
	}
	return nil
}

func (o *PostgresOptions) bulk() time.Duration { return max(o.Timeout, bulkTimeout) }

// CheckPostgresURL says what is wrong with a URL, without asking a server. The
// error shows no part of it that could be a password.
func CheckPostgresURL(raw string) error {
	_, err := parsePostgres(PostgresOptions{URL: raw, Logger: slog.New(slog.DiscardHandler)})
	return err
}

var errURL = errors.New("the Postgres URL cannot be read; want postgres://user:password@host:5432/database, with special characters of a password percent-encoded")

func parsePostgres(o PostgresOptions) (*pgx.ConnConfig, error) {
	if o.URL == "" {
		return nil, errors.New("the Postgres URL is missing, e.g. postgres://gate@127.0.0.1:5432/gate")
	}
	if !strings.HasPrefix(o.URL, "postgres://") && !strings.HasPrefix(o.URL, "postgresql://") {
		return nil, errURL
	}
	cfg, err := pgx.ParseConfig(o.URL)
	var file *fs.PathError
	switch {
	case errors.As(err, &file): // of a certificate or key
		return nil, fmt.Errorf("the Postgres URL names a file that cannot be read: %w", file)
	case err != nil:
		return nil, errURL // err may show the URL
	}
	if cfg.ConnectTimeout == 0 {
		cfg.ConnectTimeout = connectTimeout
	}
	// A replica is behind, and nobody can listen there.
	cfg.ValidateConnect = pgconn.ValidateConnectTargetSessionAttrsPrimary
	if cfg.RuntimeParams["application_name"] == "" {
		cfg.RuntimeParams["application_name"] = "neosc-gate"
	}
	if mayBePlain(&cfg.Config) {
		o.Logger.Warn("the connection to Postgres may go unencrypted through the network; add sslmode=verify-full to its URL, or sslmode=disable if the network is trusted", "host", cfg.Host)
	}
	return cfg, nil
}

// mayBePlain reports whether the URL leaves it to chance that another machine
// is spoken to without TLS.
func mayBePlain(c *pgconn.Config) bool {
	if c.TLSConfig == nil || c.Host == "" || strings.HasPrefix(c.Host, "/") || isLoopback(c.Host) {
		return false
	}
	for _, f := range c.Fallbacks {
		if f.TLSConfig == nil {
			return true
		}
	}
	return false
}

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || (ip != nil && ip.IsLoopback())
}

// SQLSTATEs.
const (
	adminShutdown    = "57P01"
	crashShutdown    = "57P02"
	cannotConnectNow = "57P03"
	userWasEnded     = "NSC01" // raised by the trigger session_begins
)

// isLost reports whether err means that a connection that was open is gone.
func isLost(err error) bool {
	var (
		said    *pgconn.PgError
		connect *pgconn.ConnectError
		network *net.OpError
	)
	switch {
	case err == nil, pgconn.Timeout(err), errors.Is(err, context.Canceled), errors.As(err, &connect):
		return false
	case errors.As(err, &said):
		return said.Code == adminShutdown || said.Code == crashShutdown
	}
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, pgconn.ErrConnClosed) || errors.As(err, &network)
}

// wasEnded reports whether the trigger session_begins refused a record.
func wasEnded(err error) bool {
	var said *pgconn.PgError
	return errors.As(err, &said) && said.Code == userWasEnded
}

// tidy leaves user and database out of errors.
func tidy(err error) error {
	var (
		connect *pgconn.ConnectError
		parse   *pgconn.ParseConfigError
		u       *url.Error
	)
	switch {
	case errors.As(err, &parse), errors.As(err, &u):
		return errURL
	case errors.As(err, &connect):
		return fmt.Errorf("postgres cannot be reached: %w", connect.Unwrap())
	}
	return fmt.Errorf("postgres: %w", err)
}
