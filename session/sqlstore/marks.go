package sqlstore

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/neosc/gate/session"
)

// SetMark implements session.Marks.
func (st *Store) SetMark(ctx context.Context, k session.Key, at, expires time.Time) error {
	ctx, done, err := st.turn(ctx, st.timeout)
	if err != nil {
		return err
	}
	defer done()
	return st.again(ctx, func() error {
		_, err := st.exec(ctx, `INSERT INTO session_marks (key, at, expires_at) VALUES (?, ?, ?) ON CONFLICT (key) DO UPDATE SET
			at = CASE WHEN excluded.at > session_marks.at THEN excluded.at ELSE session_marks.at END,
			expires_at = CASE WHEN excluded.expires_at > session_marks.expires_at THEN excluded.expires_at ELSE session_marks.expires_at END`,
			k[:], at.UnixMicro(), expires.UnixMicro())
		return err
	})
}

// GetMarks implements session.Marks.
func (st *Store) GetMarks(ctx context.Context, keys ...session.Key) ([]time.Time, error) {
	out := make([]time.Time, len(keys))
	if len(keys) == 0 {
		return out, nil
	}
	ctx, done, err := st.begin(ctx, st.timeout)
	if err != nil {
		return nil, err
	}
	defer done()
	args := make([]any, len(keys))
	places := make(map[session.Key][]int, len(keys))
	for i, k := range keys {
		args[i] = k[:]
		places[k] = append(places[k], i)
	}
	query := st.d.Bind(`SELECT key, at FROM session_marks WHERE key IN (?` + strings.Repeat(", ?", len(keys)-1) + `)`)
	if err := st.again(ctx, func() error { return st.readMarks(ctx, query, args, places, out) }); err != nil {
		return nil, st.unavailable(err)
	}
	return out, nil
}

func (st *Store) readMarks(ctx context.Context, query string, args []any, places map[session.Key][]int, out []time.Time) error {
	rows, err := st.db.QueryContext(ctx, query, args...)
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var key []byte
		var at int64
		if err := rows.Scan(&key, &at); err != nil {
			return err
		}
		if len(key) != len(session.Key{}) {
			return fmt.Errorf("a mark's key of %d bytes", len(key))
		}
		for _, i := range places[session.Key(key)] {
			out[i] = time.UnixMicro(at).UTC()
		}
	}
	return rows.Err()
}
