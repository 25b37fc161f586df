package netbird

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/neosc/gate/cmd/provisioner/internal/webhook"
)

// Step lets the machine of a grant into the network and takes it out again. What
// is a grant's is in the group that the configuration names, and bears the
// grant's id as its name: a person's own machines are never touched.
type Step struct {
	client *Client
	group  string
	now    func() time.Time
}

// NewStep returns a Step for the peers of a group, by its name.
func NewStep(c *Client, group string, now func() time.Time) *Step {
	return &Step{client: c, group: group, now: now}
}

// Start implements webhook.Step. There is nothing to make ahead of the machine;
// that the network is there is asked, so that no grant starts without it.
func (s *Step) Start(ctx context.Context, _ webhook.Grant) error {
	_, err := s.groupID(ctx)
	return err
}

func (s *Step) groupID(ctx context.Context) (string, error) {
	all, err := s.client.Groups(ctx)
	if err != nil {
		return "", again(err)
	}
	for _, g := range all {
		if g.Name == s.group {
			return g.ID, nil
		}
	}
	return "", fmt.Errorf("netbird has no group %q; make it there", s.group)
}

// Enrol makes the key with which the machine of a grant joins, in place of any
// that an attempt before has left.
func (s *Step) Enrol(ctx context.Context, g webhook.Grant) (string, error) {
	group, err := s.groupID(ctx)
	if err != nil {
		return "", err
	}
	if err := s.dropKeys(ctx, g.ID); err != nil {
		return "", again(err)
	}
	key, err := s.client.CreateKey(ctx, g.ID, g.ExpiresAt.Sub(s.now()), []string{group})
	return key, again(err)
}

// End implements webhook.Step. Keys go first: a machine that is removed while its
// key lives enrols again. What is listed still after that is pending.
func (s *Step) End(ctx context.Context, id string) error {
	if err := s.dropKeys(ctx, id); err != nil {
		return again(err)
	}
	peers, err := s.peers(ctx, id)
	if err != nil {
		return again(err)
	}
	for _, p := range peers {
		if err := s.client.DeletePeer(ctx, p.ID); err != nil {
			return again(err)
		}
	}
	if len(peers) == 0 {
		return nil
	}
	if peers, err = s.peers(ctx, id); err == nil && len(peers) > 0 {
		err = webhook.ErrPending
	}
	return again(err)
}

// dropKeys revokes and deletes the keys of a grant. Revoking alone would do for
// its use; deleting keeps the list of keys short.
func (s *Step) dropKeys(ctx context.Context, id string) error {
	keys, err := s.client.Keys(ctx)
	if err != nil {
		return err
	}
	for _, k := range keys {
		if k.Name != id {
			continue
		}
		if !k.Revoked {
			if err := s.client.RevokeKey(ctx, k); err != nil {
				return err
			}
		}
		if err := s.client.DeleteKey(ctx, k.ID); err != nil {
			return err
		}
	}
	return nil
}

// peers returns those of one grant. NetBird finds demo-1-ab in demo-1-abc as
// well, so names are compared here.
func (s *Step) peers(ctx context.Context, id string) ([]Peer, error) {
	found, err := s.client.Peers(ctx, id)
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(found, func(p Peer) bool {
		return p.Name != id && p.Hostname != id || !s.member(p)
	}), nil
}

func (s *Step) member(p Peer) bool {
	return slices.ContainsFunc(p.Groups, func(g Ref) bool { return g.Name == s.group })
}

// Grants implements webhook.Step: those with a peer or a key.
func (s *Step) Grants(ctx context.Context) ([]string, error) {
	peers, err := s.client.Peers(ctx, "")
	if err != nil {
		return nil, again(err)
	}
	keys, err := s.client.Keys(ctx)
	if err != nil {
		return nil, again(err)
	}
	ids := []string{}
	add := func(name string) bool {
		if webhook.ValidID(name) {
			ids = append(ids, name)
		}
		return webhook.ValidID(name)
	}
	for _, p := range peers {
		if s.member(p) && !add(p.Hostname) {
			add(p.Name)
		}
	}
	for _, k := range keys {
		add(k.Name)
	}
	return ids, nil
}

// again sorts NetBird's refusals: what it will never do is refused, and all else
// is tried again, since an end that is given up leaves somebody in the network.
func again(err error) error {
	e, ok := errors.AsType[*Error](err)
	if !ok {
		return err
	}
	switch e.Status {
	case http.StatusBadRequest, http.StatusUnprocessableEntity:
		return fmt.Errorf("%w: %w", webhook.ErrRefused, err)
	case http.StatusUnauthorized, http.StatusForbidden:
		return fmt.Errorf("%w; the token has to be of this account and of an administrator", err)
	case http.StatusPreconditionFailed:
		return &webhook.RetryError{After: time.Minute, Err: fmt.Errorf("%w; the peer is a router, an ingress or a proxy's target: take that away in NetBird", err)}
	}
	return err
}
