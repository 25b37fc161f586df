package account

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/neosc/gate/session"
)

// PageOrganizations implements session.Organizations.
func (s *Service) PageOrganizations(ctx context.Context, q session.OrganizationQuery) (session.OrganizationPage, error) {
	page, err := s.st.pageOrganizations(ctx, q)
	if err != nil {
		return page, err
	}
	return page, s.countWorkspaces(ctx, page.Organizations)
}

// Organization implements session.Organizations.
func (s *Service) Organization(ctx context.Context, id string) (session.Organization, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	o, err := s.st.organization(ctx, s.st.db, id)
	if err != nil {
		return o, s.st.outside(err)
	}
	one := []session.Organization{o}
	err = s.countWorkspaces(ctx, one)
	return one[0], err
}

// outside is what to return of an error of a statement without a transaction.
func (st *Store) outside(err error) error {
	if p := plain(err); p != err {
		return p
	}
	return st.unavailable(err)
}

func (s *Service) countWorkspaces(ctx context.Context, all []session.Organization) error {
	if s.o.Workspaces == nil || len(all) == 0 {
		return nil
	}
	ids := make([]string, 0, len(all))
	for i := range all {
		ids = append(ids, all[i].ID)
	}
	n, err := s.o.Workspaces.CountWorkspaces(ctx, ids)
	if err != nil {
		return fmt.Errorf("counting workspaces: %w", err)
	}
	for i := range all {
		all[i].WorkspacesCount = n[all[i].ID]
	}
	return nil
}

// organizationEvent is an event of an organization and of no account.
func organizationEvent(ctx context.Context, a session.Action, o *session.Organization, details ...string) session.Event {
	return event(ctx, a, &User{Organization: o.Name}, append(details, "organization_id", o.ID)...)
}

// CreateOrganization implements session.Organizations.
func (s *Service) CreateOrganization(ctx context.Context, name, domain string) (session.Organization, error) {
	clean, key, err := cleanName(name)
	if err != nil {
		return session.Organization{}, err
	}
	o := session.Organization{ID: "org_" + newID(), Name: clean, CreatedAt: s.st.now(), Settings: json.RawMessage("{}")}
	if o.Domain, err = cleanDomain(domain); err != nil {
		return session.Organization{}, err
	}
	err = s.tx(ctx, func(ctx context.Context, tx txn) error {
		n, err := s.st.insertOrganization(ctx, tx, &o, key)
		if err != nil {
			return err
		}
		if n == 0 {
			return refuse(fmt.Errorf("%w: %s", session.ErrOrganizationExists, clean))
		}
		return s.audit(ctx, organizationEvent(ctx, session.ActionOrganizationCreated, &o))
	})
	if err != nil {
		return session.Organization{}, err
	}
	return o, nil
}

// ChangeOrganization implements session.Organizations.
func (s *Service) ChangeOrganization(ctx context.Context, id string, c session.OrganizationChange) (session.Organization, error) {
	var before, after session.Organization
	err := s.tx(ctx, func(ctx context.Context, tx txn) (err error) {
		if err := s.st.lockMembers(ctx, tx); err != nil {
			return err
		}
		if before, after, err = s.st.changeOrganization(ctx, tx, id, c); err != nil {
			return err
		}
		var what []string
		for name, differs := range map[string]bool{"name": before.Name != after.Name, "domain": before.Domain != after.Domain, "settings": string(before.Settings) != string(after.Settings)} {
			if differs {
				what = append(what, name)
			}
		}
		if len(what) == 0 {
			return nil
		}
		return s.audit(ctx, organizationEvent(ctx, session.ActionOrganizationModified, &after, "changed", strings.Join(sorted(what), ","), "was", before.Name))
	})
	if err != nil {
		return session.Organization{}, err
	}
	if before.Name != after.Name {
		err = s.renameInSessions(ctx, id, after.Name)
	}
	one := []session.Organization{after}
	if err == nil {
		err = s.countWorkspaces(ctx, one)
	}
	return one[0], err
}

// renameInSessions has live sessions of an organization's accounts go by its
// new name.
func (s *Service) renameInSessions(ctx context.Context, id, name string) error {
	for q := (session.UserQuery{Organization: id, Limit: 1000}); ; {
		page, err := s.st.PageUsers(ctx, q)
		if err != nil {
			return err
		}
		for _, u := range page.Users {
			_, err := s.o.Sessions.UpdateUser(ctx, u.ID, func(i *session.Identity) error {
				i.Organization = name
				return nil
			})
			if err != nil {
				return fmt.Errorf("the organization has its new name, but live sessions may have the old one; try again: %w", err)
			}
		}
		if q.After = page.Next; page.Next == "" {
			return nil
		}
	}
}
