package zitadel

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/neosc/gate/session"
)

// Options set up a Step. Issuer, OrganizationID, ProjectID, Notes and one of
// KeyFile and TokenFile are needed.
type Options struct {
	// Name is the step's; "zitadel" if empty.
	Name string
	// Issuer is Zitadel's address, as the provider's issuer says it. Of grants of
	// others' people nothing is done.
	Issuer string
	// OrganizationID is where people are authorized: it owns the project, or was
	// granted it. ProjectID is where the roles are.
	OrganizationID, ProjectID string
	// Group marks the roles that this gate makes; "neosc-gate-demo" if empty. Two
	// gates that share a project, but no store, need one each: each takes away
	// roles of its group that none of its own grants has.
	Group string
	// KeyFile is the JSON file of a service user's key, TokenFile a personal
	// access token; mode 0600. The user needs to be a manager of the project and
	// of its authorizations (PROJECT_OWNER, ORG_USER_MANAGER).
	KeyFile, TokenFile string
	// Notes hold the lock by which one gate at a time changes a person's
	// authorization.
	Notes session.Notes
	// Roots are whom Zitadel's certificate may be from; nil: the system's.
	Roots *x509.CertPool
	// Clock is time.Now if nil.
	Clock func() time.Time
}

// Step gives people their grants' roles at Zitadel. It implements
// session.DemoStep; safe for concurrent use.
type Step struct {
	o      Options
	client *client
	// settle is how long to wait, at first, for a list to show what was written:
	// Zitadel's lists follow its writes after a moment.
	settle time.Duration
}

const (
	defaultName  = "zitadel"
	defaultGroup = "neosc-gate-demo"
	rolePrefix   = "demo-user-"
	maxID        = 200 // Zitadel's
	firstSettle  = 50 * time.Millisecond
	lastSettle   = time.Second
	// looks is how often a list is looked at until it shows what was written:
	// for some five seconds.
	looks = 9
)

var (
	// Nothing but roles of this form is ever made or taken away.
	roleForm = regexp.MustCompile(`^demo-user-[0-9]{1,32}$`)
	idForm   = regexp.MustCompile(`^demo-[0-9]{1,20}-[A-Za-z0-9_-]{1,64}$`)
)

// New returns a Step, or says which option is wrong. Zitadel is not asked yet.
func New(o Options) (*Step, error) {
	o.Issuer = strings.TrimRight(o.Issuer, "/")
	if o.Name == "" {
		o.Name = defaultName
	}
	if o.Group == "" {
		o.Group = defaultGroup
	}
	if o.Clock == nil {
		o.Clock = time.Now
	}
	for _, f := range []struct{ name, value string }{{"organization_id", o.OrganizationID}, {"project_id", o.ProjectID}, {"group", o.Group}} {
		if f.value == "" || len(f.value) > maxID {
			return nil, fmt.Errorf("%s has %d bytes, want 1 to %d", f.name, len(f.value), maxID)
		}
	}
	if o.Notes == nil {
		return nil, errors.New("zitadel: Options.Notes is missing")
	}
	c, err := newClient(o)
	if err != nil {
		return nil, err
	}
	return &Step{o: o, client: c, settle: firstSettle}, nil
}

// Name implements session.DemoStep.
func (s *Step) Name() string { return s.o.Name }

// ours reports whether there is something to do for a grant: whoever does not
// sign in at this Zitadel has nobody there. What is known of an orphan is its
// role alone.
func (s *Step) ours(g session.DemoGrant) bool {
	return strings.TrimRight(g.Issuer, "/") == s.o.Issuer || g.Issuer == "" && g.Subject == "" && g.Role != ""
}

// Start implements session.DemoStep: it makes the grant's role and adds it to
// what its person may do, and returns once Zitadel shows both.
func (s *Step) Start(ctx context.Context, g session.DemoGrant) error {
	if !s.ours(g) {
		return nil
	}
	if !roleForm.MatchString(g.Role) || !idForm.MatchString(g.ID) || g.Subject == "" || len(g.Subject) > maxID {
		return fmt.Errorf("%w: a grant for Zitadel needs a role demo-user-<digits>, an id and a subject", session.ErrStepRefused)
	}
	return s.locked(ctx, g.Subject, func(ctx context.Context) error {
		err := s.client.call(ctx, projects, "AddProjectRole", addRole{ProjectID: s.o.ProjectID, RoleKey: g.Role, DisplayName: g.ID, Group: s.o.Group}, &nothing{})
		if code(err) == codeExists {
			err = s.mine(ctx, g)
		}
		if err == nil {
			err = s.give(ctx, g)
		}
		if final(err) {
			err = fmt.Errorf("%w: %w", session.ErrStepRefused, err)
		}
		return err
	})
}

// mine refuses a role that is there already, but for another try of this grant:
// it would be taken away from whoever has it at the grant's end.
func (s *Step) mine(ctx context.Context, g session.DemoGrant) error {
	foreign, err := s.foreign(ctx, g.Role, g.ID)
	if err == nil && foreign {
		err = fmt.Errorf("%w: the project has a role %s already that is not this grant's", session.ErrStepRefused, g.Role)
	}
	return err
}

// give adds the role to the person's authorization, until it is there.
func (s *Step) give(ctx context.Context, g session.DemoGrant) error {
	var failed error
	wait, wrote := s.settle, 0
	for look := range looks {
		has, err := s.of(ctx, g.Subject)
		switch {
		case wrote > 0 && err == nil && look < wrote+looks/2 && (has == nil || !slices.Contains(has.keys(), g.Role)):
			// What was written is not shown yet, or somebody else has written since:
			// to write again what was read before that would undo it.
		case err != nil:
			return err
		case has == nil:
			err = s.client.call(ctx, authorizations, "CreateAuthorization", createAuthorization{
				UserID: g.Subject, ProjectID: s.o.ProjectID, OrganizationID: s.o.OrganizationID, RoleKeys: []string{g.Role},
			}, &nothing{})
			if err != nil && code(err) != codeExists { // one that the list does not show yet
				return err
			}
			wrote = look + 1
		case has.State == inactive:
			return fmt.Errorf("%w: what the person may do in the project was deactivated", session.ErrStepRefused)
		case slices.Contains(has.keys(), g.Role):
			return nil
		default:
			err = s.client.call(ctx, authorizations, "UpdateAuthorization", updateAuthorization{ID: has.ID, RoleKeys: append(has.keys(), g.Role)}, &nothing{})
			// Among the roles that the list showed may be one that has just been
			// removed, and the authorization itself may have been.
			if err != nil && !final(err) || code(err) == codeDenied {
				return err
			}
			if err == nil {
				wrote = look + 1
			}
		}
		failed = err
		if err := pause(ctx, wait); err != nil {
			return err
		}
		wait = min(2*wait, lastSettle)
	}
	// Not "for good", whatever was the last to go wrong.
	return &session.StepDelayError{After: time.Second, Err: fmt.Errorf("the role is not shown yet: %w", errors.Join(session.ErrStepPending, plain(failed)))}
}

// plain drops the code of an error that stands for nothing final.
func plain(err error) error {
	if err == nil {
		return nil
	}
	return errors.New(err.Error())
}

// End implements session.DemoStep: nobody has the grant's role afterwards, and
// it is gone. Authorizations that had no other role go with it. Whatever keeps
// that from being done may be over next time.
func (s *Step) End(ctx context.Context, g session.DemoGrant) error {
	if !s.ours(g) {
		return nil
	}
	if !roleForm.MatchString(g.Role) {
		return fmt.Errorf("%w: %q is no role of a grant's", session.ErrStepRefused, g.Role[:min(len(g.Role), maxID)])
	}
	// A role that somebody else made was never this grant's.
	if foreign, err := s.foreign(ctx, g.Role, g.ID); err != nil || foreign {
		return err
	}
	have, err := s.holders(ctx, g.Role)
	if err != nil {
		return err
	}
	// What has no other role goes first: of a role that is gone nobody would find
	// it any more. Out of the others Zitadel takes the role by itself, which loses
	// none of what is written to them meanwhile.
	for _, a := range have {
		if err := s.take(ctx, a, g.Role, true); err != nil {
			return err
		}
	}
	err = s.client.call(ctx, projects, "RemoveProjectRole", removeRole{s.o.ProjectID, g.Role}, &nothing{})
	if err != nil && code(err) != codeNotFound {
		return err
	}
	return s.gone(ctx, g.Role)
}

// gone waits until nobody has a role that was removed, and then takes it from
// whoever still has it: Zitadel looks for them in a list that may lag.
func (s *Step) gone(ctx context.Context, role string) error {
	wait := s.settle
	for look := range looks {
		have, err := s.holders(ctx, role)
		if err != nil || len(have) == 0 {
			return err
		}
		if look >= looks/2 {
			for _, a := range have {
				if err := s.take(ctx, a, role, false); err != nil {
					return err
				}
			}
		}
		if err := pause(ctx, wait); err != nil {
			return err
		}
		wait = min(2*wait, lastSettle)
	}
	return &session.StepDelayError{After: time.Second, Err: fmt.Errorf("the role is shown still: %w", session.ErrStepPending)}
}

// take takes a role out of an authorization, as it is under its lock; if alone,
// only where there is no other role.
func (s *Step) take(ctx context.Context, a authorization, role string, alone bool) error {
	return s.locked(ctx, a.User.ID, func(ctx context.Context) error {
		now, err := s.ofUser(ctx, a.User.ID)
		if err != nil {
			return err
		}
		i := slices.IndexFunc(now, func(n authorization) bool { return n.ID == a.ID && slices.Contains(n.keys(), role) })
		if i < 0 {
			return nil
		}
		switch rest := now[i].without(role); {
		case len(rest) == 0:
			err = s.client.call(ctx, authorizations, "DeleteAuthorization", named{a.ID}, &nothing{})
		case !alone:
			err = s.client.call(ctx, authorizations, "UpdateAuthorization", updateAuthorization{a.ID, rest}, &nothing{})
		}
		if code(err) == codeNotFound {
			return nil
		}
		return err
	})
}

// Owned implements session.DemoStep: the grants whose roles the project has, by
// the group that marks this gate's.
func (s *Step) Owned(ctx context.Context) ([]session.DemoGrant, error) {
	roles, err := s.projectRoles(ctx, text{rolePrefix, startsWith})
	if err != nil {
		return nil, err
	}
	var out []session.DemoGrant
	for _, r := range roles {
		if r.Group == s.o.Group && roleForm.MatchString(r.Key) && idForm.MatchString(r.DisplayName) {
			out = append(out, session.DemoGrant{ID: r.DisplayName, Role: r.Key})
		}
	}
	return out, nil
}

// pause waits, or until ctx ends.
func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
