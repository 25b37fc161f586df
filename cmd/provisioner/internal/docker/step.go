package docker

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/neosc/gate/cmd/provisioner/internal/webhook"
)

// The labels by which containers are found.
const (
	labelGrant    = "io.neosc.demo.grant"
	labelInstance = "io.neosc.demo.instance"
	labelKind     = "io.neosc.demo.workspace_type"
	labelExpires  = "io.neosc.demo.expires_at"
)

const namePrefix = "neosc-"

// Options make a Step.
type Options struct {
	Client *Client
	// Instance tells the containers of one provisioner from those of another on the
	// same engine.
	Instance string
	// Kinds are the specs by workspace type. Labels and Hostname are set here.
	Kinds map[string]Spec
	// Most is how many containers there may be at once, whoever asks.
	Most int
	// Grace is how long a workspace has to end by itself.
	Grace time.Duration
	// Enrol, if set, returns what a container of the type is told besides, such as
	// the key with which it joins a network. It is called when one is made.
	Enrol func(ctx context.Context, g webhook.Grant) (env []string, err error)
}

// Step makes a container for a grant and takes it away.
type Step struct{ opt Options }

// NewStep returns a Step.
func NewStep(o Options) *Step { return &Step{o} }

func (s *Step) labels(id string) map[string]string {
	return map[string]string{labelInstance: s.opt.Instance, labelGrant: id}
}

// Start implements webhook.Step. A container that is there is started where it
// was left, so that a crash between the two calls leaves neither two nor one
// that never runs.
func (s *Step) Start(ctx context.Context, g webhook.Grant) error {
	spec, ok := s.opt.Kinds[g.WorkspaceType]
	if !ok {
		return fmt.Errorf("%w: there is no workspace type %.64q here; there are %s", webhook.ErrRefused, g.WorkspaceType, strings.Join(slices.Sorted(maps.Keys(s.opt.Kinds)), ", "))
	}
	id, err := s.existing(ctx, g.ID)
	if err != nil {
		return err
	}
	if id == "" {
		if id, err = s.create(ctx, g, spec); err != nil {
			return err
		}
	}
	err = s.opt.Client.Start(ctx, id)
	switch status(err) {
	case http.StatusBadRequest:
		return fmt.Errorf("%w: %w", webhook.ErrRefused, err)
	case http.StatusConflict:
		return fmt.Errorf("%w: %w", webhook.ErrPending, err)
	}
	return err
}

// existing returns the id of the grant's container, or "".
func (s *Step) existing(ctx context.Context, grant string) (string, error) {
	found, err := s.opt.Client.List(ctx, s.labels(grant))
	if err != nil || len(found) == 0 {
		return "", err
	}
	if found[0].State == "removing" {
		return "", webhook.ErrPending
	}
	return found[0].ID, nil
}

func (s *Step) create(ctx context.Context, g webhook.Grant, spec Spec) (string, error) {
	all, err := s.opt.Client.List(ctx, map[string]string{labelInstance: s.opt.Instance})
	if err != nil {
		return "", err
	}
	if len(all) >= s.opt.Most {
		return "", &webhook.RetryError{After: 10 * time.Second, Err: fmt.Errorf("there are %d containers, which is as many as may be", len(all))}
	}
	if spec.Network, err = s.network(ctx, g.ID, spec); err != nil {
		return "", err
	}
	spec.Labels = s.labels(g.ID)
	spec.Labels[labelKind], spec.Labels[labelExpires] = g.WorkspaceType, g.ExpiresAt.UTC().Format(time.RFC3339)
	spec.Hostname = g.ID
	spec.Env = append(slices.Clone(spec.Env), "NEOSC_DEMO_SESSION_ID="+g.ID, "NEOSC_DEMO_EXPIRES_AT="+spec.Labels[labelExpires])
	if s.opt.Enrol != nil {
		env, err := s.opt.Enrol(ctx, g)
		if err != nil {
			return "", err
		}
		spec.Env = append(spec.Env, env...)
	}
	id, err := s.opt.Client.Create(ctx, namePrefix+g.ID, spec)
	switch status(err) {
	case http.StatusNotFound:
		return "", fmt.Errorf("%w: the image or the network of %s is not on that machine (%w); pull or make it first", webhook.ErrRefused, g.WorkspaceType, err)
	case http.StatusBadRequest:
		return "", fmt.Errorf("%w: %w", webhook.ErrRefused, err)
	case http.StatusConflict:
		return s.taken(ctx, g.ID)
	}
	return id, err
}

// taken is for a name that a create found in use: by a create of ours whose
// answer was lost, or by somebody else, whose container is left alone.
func (s *Step) taken(ctx context.Context, grant string) (string, error) {
	id, err := s.existing(ctx, grant)
	if err == nil && id == "" {
		err = fmt.Errorf("%w: there is a container %s%s that is not this provisioner's", webhook.ErrRefused, namePrefix, grant)
	}
	return id, err
}

// End implements webhook.Step.
func (s *Step) End(ctx context.Context, id string) error {
	found, err := s.opt.Client.List(ctx, s.labels(id))
	if err != nil {
		return err
	}
	var errs []error
	for _, c := range found {
		// A workspace that does not stop is killed by its removal.
		if c.State == "running" {
			_ = s.opt.Client.Stop(ctx, c.ID, s.opt.Grace)
		}
		err := s.opt.Client.Remove(ctx, c.ID)
		if status(err) == http.StatusConflict {
			err = webhook.ErrPending
		}
		errs = append(errs, err)
	}
	for _, err := range errs {
		if err != nil && !errors.Is(err, webhook.ErrPending) {
			return err
		}
	}
	// Gone is what is in no list: a removal may go on after it was answered.
	if len(found) > 0 {
		if found, err = s.opt.Client.List(ctx, s.labels(id)); err == nil && len(found) > 0 {
			err = webhook.ErrPending
		}
	}
	if err != nil {
		return err
	}
	return s.dropNetworks(ctx, id)
}

// Grants implements webhook.Step.
func (s *Step) Grants(ctx context.Context) ([]string, error) {
	found, err := s.opt.Client.List(ctx, map[string]string{labelInstance: s.opt.Instance, labelGrant: ""})
	if err != nil {
		return nil, err
	}
	networks, err := s.opt.Client.Networks(ctx, map[string]string{labelInstance: s.opt.Instance, labelGrant: ""})
	if err != nil {
		return nil, err
	}
	ids := []string{}
	add := func(labels map[string]string) {
		if id := labels[labelGrant]; webhook.ValidID(id) {
			ids = append(ids, id)
		}
	}
	for _, c := range found {
		add(c.Labels)
	}
	for _, n := range networks {
		add(n.Labels)
	}
	return ids, nil
}
