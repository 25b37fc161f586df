package account

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"golang.org/x/text/unicode/norm"

	"github.com/neosc/gate/session"
)

// cleanName checks an organization's name and returns it with the form by which
// names are compared: two that people take for one are one.
func cleanName(name string) (clean, key string, err error) {
	clean = strings.Join(strings.Fields(norm.NFC.String(name)), " ")
	if err := checkText("the organization's name", name); err != nil {
		return "", "", err
	}
	if clean == "" {
		return "", "", badUser("the organization needs a name")
	}
	return clean, strings.ToLower(norm.NFKC.String(clean)), nil
}

func cleanDomain(domain string) (string, error) {
	d := strings.ToLower(strings.TrimSpace(domain))
	if len(d) > 253 || d != "" && !isHostName(d) {
		return "", badUser("the organization's domain needs to be a host name in ASCII, or empty")
	}
	return d, nil
}

// cleanSettings checks an organization's settings: one JSON object, compact.
func cleanSettings(raw json.RawMessage) (string, error) {
	if len(raw) > 2*session.MaxSettings {
		return "", badUser("the settings have %d bytes, at most %d are allowed", len(raw), session.MaxSettings)
	}
	var m map[string]any
	if err := json.Unmarshal(raw, &m); err != nil || m == nil {
		return "", badUser("the settings need to be a JSON object")
	}
	b, err := json.Marshal(m)
	if err != nil || len(b) > session.MaxSettings {
		return "", badUser("the settings have %d bytes, at most %d are allowed", len(b), session.MaxSettings)
	}
	return string(b), nil
}

// organizationFor returns the organization that an operator names, and makes it
// if there is none; "" is the default one.
func (st *Store) organizationFor(ctx context.Context, name string) (id, clean string, err error) {
	if name == "" {
		name = session.DefaultOrganization
	}
	clean, key, err := cleanName(name)
	if err != nil {
		return "", "", err
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	if _, err := st.insertOrganization(ctx, st.db, &session.Organization{ID: "org_" + newID(), Name: clean, CreatedAt: st.now()}, key); err != nil {
		return "", "", st.unavailable(err)
	}
	err = st.db.QueryRowContext(ctx, st.o.Dialect.Bind(`SELECT id, name FROM organizations WHERE name_key = ?`), key).Scan(&id, &clean)
	if err != nil {
		return "", "", st.unavailable(err)
	}
	return id, clean, nil
}

// insertOrganization returns 0 if the name is taken.
func (st *Store) insertOrganization(ctx context.Context, q querier, o *session.Organization, key string) (int64, error) {
	return st.execOn(ctx, q, `INSERT INTO organizations (id, name, name_key, domain, settings, created_at) VALUES (?, ?, ?, ?, '{}', ?)
		ON CONFLICT (name_key) DO NOTHING`, o.ID, o.Name, key, o.Domain, o.CreatedAt.UnixMicro())
}

const organizationSelected = `o.id, o.name, o.name_key, o.domain, o.settings, o.created_at, (SELECT count(*) FROM users u WHERE u.organization_id = o.id)`

// scanOrganization also returns the key by which it is listed.
func scanOrganization(scan func(...any) error) (o session.Organization, key string, err error) {
	var settings string
	var created int64
	err = scan(&o.ID, &o.Name, &key, &o.Domain, &settings, &created, &o.UsersCount)
	o.Settings, o.CreatedAt = json.RawMessage(settings), time.UnixMicro(created).UTC()
	return o, key, err
}

// organization returns that with an id: refuses with session.ErrNoOrganization.
func (st *Store) organization(ctx context.Context, q querier, id string) (session.Organization, error) {
	o, _, err := scanOrganization(q.QueryRowContext(ctx, st.o.Dialect.Bind(`SELECT `+organizationSelected+` FROM organizations o WHERE o.id = ?`), id).Scan)
	if errors.Is(err, sql.ErrNoRows) {
		return o, refuse(session.ErrNoOrganization)
	}
	return o, err
}

// pageOrganizations lists organizations by name; it says which one is the last
// if there are more.
func (st *Store) pageOrganizations(ctx context.Context, q session.OrganizationQuery) (session.OrganizationPage, error) {
	limit, err := session.Query{Limit: q.Limit}.Rows()
	if err != nil {
		return session.OrganizationPage{}, badUser("%v", err)
	}
	where, args := "1 = 1", []any{}
	if q.Member != "" {
		where, args = where+" AND o.id = (SELECT m.organization_id FROM users m WHERE m.id = ?)", append(args, q.Member)
	}
	if q.After != "" {
		after, err := openCursor(q.After)
		if err != nil {
			return session.OrganizationPage{}, err
		}
		where, args = where+" AND o.name_key > ?", append(args, after)
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	rows, err := st.db.QueryContext(ctx, st.o.Dialect.Bind(`SELECT `+organizationSelected+` FROM organizations o WHERE `+where+` ORDER BY o.name_key LIMIT ?`), append(args, limit+1)...)
	if err != nil {
		return session.OrganizationPage{}, st.unavailable(err)
	}
	defer func() { _ = rows.Close() }()
	page := session.OrganizationPage{Organizations: []session.Organization{}}
	last := ""
	for rows.Next() {
		o, key, err := scanOrganization(rows.Scan)
		if err != nil {
			return session.OrganizationPage{}, st.unavailable(err)
		}
		if len(page.Organizations) == limit {
			page.Next = cursor(last)
			break
		}
		page.Organizations, last = append(page.Organizations, o), key
	}
	if err := rows.Err(); err != nil {
		return session.OrganizationPage{}, st.unavailable(err)
	}
	return page, nil
}

// changeOrganization changes one inside a transaction.
func (st *Store) changeOrganization(ctx context.Context, tx *sql.Tx, id string, c session.OrganizationChange) (before, after session.Organization, err error) {
	if before, err = st.organization(ctx, tx, id); err != nil {
		return before, after, err
	}
	after = before
	_, key, err := cleanName(before.Name)
	if c.Name != nil && err == nil {
		after.Name, key, err = cleanName(*c.Name)
	}
	if c.Domain != nil && err == nil {
		after.Domain, err = cleanDomain(*c.Domain)
	}
	settings := string(before.Settings)
	if c.Settings != nil && err == nil {
		settings, err = cleanSettings(*c.Settings)
		after.Settings = json.RawMessage(settings)
	}
	if err != nil {
		return before, after, refuse(err)
	}
	if after.Name != before.Name {
		var other string
		err = tx.QueryRowContext(ctx, st.o.Dialect.Bind(`SELECT id FROM organizations WHERE name_key = ? AND id <> ?`), key, id).Scan(&other)
		if err == nil {
			return before, after, refuse(fmt.Errorf("%w: %s", session.ErrOrganizationExists, after.Name))
		} else if !errors.Is(err, sql.ErrNoRows) {
			return before, after, err
		}
	}
	_, err = st.execOn(ctx, tx, `UPDATE organizations SET name = ?, name_key = ?, domain = ?, settings = ? WHERE id = ?`, after.Name, key, after.Domain, settings, id)
	if err == nil && after.Name != before.Name {
		_, err = st.execOn(ctx, tx, `UPDATE users SET organization = ? WHERE organization_id = ?`, after.Name, id)
	}
	return before, after, err
}
