package sqlstore

import (
	"context"
	"database/sql"
	"embed"
	"fmt"
	"io/fs"
	"strconv"
	"strings"

	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/database"
)

//go:embed migrations
var migrations embed.FS

// versionTable keeps this store's schema version; other rooms that share the
// database have tables of their own.
const versionTable = "session_schema"

// Dialect is what databases differ in. All statements are written in the SQL
// that SQLite and Postgres share.
type Dialect struct {
	name     string // the folder under migrations
	goose    database.Dialect
	numbered bool // parameters are $1, $2 … instead of ?
	// oneWriter: writers queue up in this process, because the database would
	// have them poll for its only write lock.
	oneWriter bool
}

// SQLite is the dialect of OpenSQLite's databases.
func SQLite() Dialect {
	return Dialect{name: "sqlite", goose: goose.DialectSQLite3, oneWriter: true}
}

// bind rewrites a statement's ? to what the dialect wants. Statements have no
// other question marks.
func (d Dialect) bind(query string) string {
	if !d.numbered {
		return query
	}
	var b strings.Builder
	for i, part := range strings.Split(query, "?") {
		if i > 0 {
			b.WriteString("$" + strconv.Itoa(i))
		}
		b.WriteString(part)
	}
	return b.String()
}

// migrate brings the schema up to date.
func (d Dialect) migrate(ctx context.Context, db *sql.DB) error {
	dir, err := fs.Sub(migrations, "migrations/"+d.name)
	if err != nil {
		return fmt.Errorf("migrations: %w", err)
	}
	p, err := goose.NewProvider(d.goose, db, dir,
		goose.WithTableName(versionTable), goose.WithDisableGlobalRegistry(true))
	if err != nil {
		return fmt.Errorf("migrations: %w", err)
	}
	if _, err := p.Up(ctx); err != nil {
		return fmt.Errorf("migrations: %w", err)
	}
	return nil
}
