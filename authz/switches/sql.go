package switches

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/neosc/gate/session"
)

//go:embed migrations
var migrations embed.FS

// versionTable keeps this package's schema version, apart from that of others
// in the same database.
const versionTable = "policy_switches_schema"

// callTimeout bounds one statement: a database that does not answer must hold up
// neither an administrator nor the news of others' changes.
const callTimeout = 2 * time.Second

// maxStored is how many rows are read. Few policy sets were ever active on one
// database, of at most 100 switches each.
const maxStored = 1000

// SQL keeps values in a table. It implements session.SwitchStore.
type SQL struct {
	db *sql.DB
	d  session.SQLDialect
}

var _ session.SwitchStore = (*SQL)(nil)

// NewSQL returns a store on db, whose schema it brings up to date. db stays its
// opener's to close.
func NewSQL(ctx context.Context, db *sql.DB, d session.SQLDialect) (*SQL, error) {
	files, err := fs.Sub(migrations, "migrations")
	if err == nil {
		err = d.Migrate(ctx, db, files, versionTable)
	}
	if err != nil {
		return nil, fmt.Errorf("policy switches: %w", err)
	}
	return &SQL{db: db, d: d}, nil
}

// LoadSwitches implements session.SwitchStore.
func (s *SQL) LoadSwitches(ctx context.Context) ([]session.StoredSwitch, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	rows, err := s.db.QueryContext(ctx, s.d.Bind(`SELECT name, value, version, changed_at, changed_by FROM policy_switches ORDER BY name LIMIT ?`), maxStored)
	if err != nil {
		return nil, s.unavailable(err)
	}
	defer func() { _ = rows.Close() }()
	var out []session.StoredSwitch
	for rows.Next() {
		var x session.StoredSwitch
		var text sql.NullString
		var at int64
		if err := rows.Scan(&x.Name, &text, &x.Version, &at, &x.ChangedBy); err != nil {
			return nil, s.unavailable(err)
		}
		if text.Valid {
			v, err := session.ParseSwitchValue(text.String)
			if err != nil {
				return nil, s.unavailable(fmt.Errorf("the row of %s: %w", x.Name, err))
			}
			x.Value = &v
		}
		x.ChangedAt = time.UnixMicro(at).UTC()
		out = append(out, x)
	}
	if err := rows.Err(); err != nil {
		return nil, s.unavailable(err)
	}
	return out, nil
}

// PutSwitch implements session.SwitchStore.
func (s *SQL) PutSwitch(ctx context.Context, x session.StoredSwitch) error {
	if x.Version == 0 || x.Name == "" {
		return errors.New("policy switches: a value without name or version")
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	var text sql.NullString
	if x.Value != nil {
		text = sql.NullString{String: x.Value.String(), Valid: true}
	}
	query, args := `UPDATE policy_switches SET value = ?, version = ?, changed_at = ?, changed_by = ? WHERE name = ? AND version = ?`,
		[]any{text, x.Version, x.ChangedAt.UnixMicro(), x.ChangedBy, x.Name, x.Version - 1}
	if x.Version == 1 {
		query, args = `INSERT INTO policy_switches (value, version, changed_at, changed_by, name) VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`, args[:5]
	}
	res, err := s.db.ExecContext(ctx, s.d.Bind(query), args...)
	if err != nil {
		return s.unavailable(err)
	}
	n, err := res.RowsAffected()
	switch {
	case err != nil:
		return s.unavailable(err)
	case n != 1:
		return session.ErrSwitchChanged
	}
	return nil
}

func (s *SQL) unavailable(err error) error {
	return fmt.Errorf("policy switches: %w: %w", session.ErrUnavailable, s.d.Tidy(err))
}
