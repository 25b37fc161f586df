package demo

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/neosc/gate/session"
)

const columns = `id, status, user_id, email, issuer, subject, organization, organization_id, client_addr, workspace_type, role, purpose, reason, decided_by,
	lasts, requested_at, started_at, expires_at, ended_at, cleaned_at, settle_at, told, steps, due_at, fence, tries`

// row is a grant as the table has it.
type row struct {
	session.DemoGrant
	// settleAt is when nothing is under way any more that somebody began for it
	// and did not see the end of.
	settleAt time.Time
	// told: the person's sessions have been told that it is active, or extended.
	told bool
	// dueAt is when somebody has to look at it; zero once nothing is left to do.
	dueAt time.Time
	fence int64
	// tries counts failures in a row.
	tries int
}

func (r *row) values() ([]any, error) {
	steps, err := json.Marshal(r.Steps)
	if err != nil {
		return nil, fmt.Errorf("steps: %w", err)
	}
	due := sql.NullInt64{Int64: column(r.dueAt), Valid: !r.dueAt.IsZero()}
	told := 0
	if r.told {
		told = 1
	}
	return []any{r.ID, string(r.Status), r.UserID, r.Email, r.Issuer, r.Subject, r.Organization, r.OrganizationID, r.ClientAddr, r.WorkspaceType, r.Role, r.Purpose, r.Reason, r.DecidedBy,
		r.MaxDuration.Microseconds(), column(r.RequestedAt), column(r.StartedAt), column(r.ExpiresAt), column(r.EndedAt), column(r.CleanedAt), column(r.settleAt), told, string(steps), due, r.fence, r.tries}, nil
}

func scan(from func(...any) error) (*row, error) {
	var (
		r                                                              row
		status, steps                                                  string
		lasts, requested, started, expires, ended, cleaned, settle, to int64
		due                                                            sql.NullInt64
	)
	err := from(&r.ID, &status, &r.UserID, &r.Email, &r.Issuer, &r.Subject, &r.Organization, &r.OrganizationID, &r.ClientAddr, &r.WorkspaceType, &r.Role, &r.Purpose, &r.Reason, &r.DecidedBy,
		&lasts, &requested, &started, &expires, &ended, &cleaned, &settle, &to, &steps, &due, &r.fence, &r.tries)
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal([]byte(steps), &r.Steps); err != nil {
		return nil, fmt.Errorf("the steps of %s: %w", r.ID, err)
	}
	r.Status, r.MaxDuration, r.told = session.GrantStatus(status), time.Duration(lasts)*time.Microsecond, to != 0
	r.RequestedAt, r.StartedAt, r.ExpiresAt, r.EndedAt, r.CleanedAt, r.settleAt = instant(requested), instant(started), instant(expires), instant(ended), instant(cleaned), instant(settle)
	if due.Valid {
		r.dueAt = instant(due.Int64)
	}
	return &r, nil
}

func scanAll(rows *sql.Rows, err error) ([]*row, error) {
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	var out []*row
	for rows.Next() {
		r, err := scan(rows.Scan)
		if err != nil {
			return nil, err
		}
		out = append(out, r)
	}
	return out, rows.Err()
}

// insert stores a new grant.
func (t *txn) insert(ctx context.Context, r *row) error {
	v, err := r.values()
	if err != nil {
		return err
	}
	_, err = t.exec(ctx, `INSERT INTO demo_grants (`+columns+`) VALUES (`+marks(len(v))+`)`, v...)
	return err
}

// marks are n parameters.
func marks(n int) string { return strings.TrimSuffix(strings.Repeat("?, ", n), ", ") }

// errLost: somebody else has moved or claimed the grant since.
var errLost = errors.New("somebody else has the demo session now")

// save writes what may change of a grant, under the fence at which it was read:
// errLost if that is not the row's any more. fence is the row's from then on.
func (t *txn) save(ctx context.Context, r *row, fence int64) error {
	v, err := r.values()
	if err != nil {
		return err
	}
	names := strings.Split(strings.Join(strings.Fields(columns), ""), ",")
	set := make([]string, 0, len(names))
	for i, name := range names {
		if name == "fence" {
			v[i] = fence
		}
		set = append(set, name+" = ?")
	}
	n, err := t.exec(ctx, `UPDATE demo_grants SET `+strings.Join(set, ", ")+` WHERE id = ? AND fence = ?`, append(v, r.ID, r.fence)...)
	if err != nil {
		return err
	}
	if n != 1 {
		return refusal{errLost}
	}
	r.fence = fence
	return nil
}

// read returns a grant and holds it until the transaction ends.
func (t *txn) read(ctx context.Context, id string) (*row, error) {
	r, err := scan(t.QueryRowContext(ctx, t.st.sql(`SELECT `+columns+` FROM demo_grants WHERE id = ?`+t.st.forUpdate), id).Scan)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, refusal{session.ErrNoDemo}
	}
	return r, err
}
