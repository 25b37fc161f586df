package session

import (
	"context"
	"database/sql"
	"io/fs"
	"time"
)

// SQLDialect is how an SQL database is spoken to by those that keep something in
// one; session/sqlstore has those of SQLite and Postgres. Safe for concurrent use.
type SQLDialect interface {
	// Bind rewrites a statement whose parameters are ?.
	Bind(query string) string
	// Migrate brings a schema up to date from goose migrations, in a folder for
	// each dialect; table keeps its version.
	Migrate(ctx context.Context, db *sql.DB, files fs.FS, table string) error
	// Tidy returns an error without what must not be shown.
	Tidy(err error) error
}

// GuessBudget is how guesses are charged: a token bucket per name and key.
// cmd/gate joins it to the project's limiter. Safe for concurrent use.
type GuessBudget interface {
	// Take takes one token from the bucket called name of key, which holds
	// burst tokens and gets rate tokens per second. When there is none it says
	// after how long there will be. An error refuses the guess.
	Take(ctx context.Context, now time.Time, name, key string, rate float64, burst int) (ok bool, retryAfter time.Duration, err error)
}
