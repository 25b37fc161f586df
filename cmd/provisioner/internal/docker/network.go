package docker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"

	"github.com/neosc/gate/cmd/provisioner/internal/webhook"
)

// Networks that are no name of one.
const (
	// NetworkOwn is one that is made for the grant, on which nobody is but its
	// container and those who have to reach that.
	NetworkOwn = "own"
	// NetworkNone is the container's loopback alone.
	NetworkNone = "none"
)

// optionICC is the option of Docker's bridges that keeps those on one apart.
const optionICC = "com.docker.network.bridge.enable_icc"

// Network is one of the engine's. Containers are those on it, by their ids; only
// an inspection tells them.
type Network struct {
	ID         string `json:"Id"`
	Name       string
	Driver     string
	Labels     map[string]string
	Options    map[string]string
	Containers map[string]struct{ Name string }
}

// apart reports whether containers on a network cannot reach each other.
func (n *Network) apart() bool { return n.Driver == "bridge" && n.Options[optionICC] == "false" }

// networkRequest is the body of POST /networks/create.
type networkRequest struct {
	Name, Driver string
	// CheckDuplicate has engines before 1.44 refuse a second one of the name.
	CheckDuplicate, Internal bool
	Labels                   map[string]string
}

// CreateNetwork makes a bridge; 409 says that there is one of the name.
func (c *Client) CreateNetwork(ctx context.Context, name string, internal bool, labels map[string]string) error {
	in := networkRequest{Name: name, Driver: "bridge", CheckDuplicate: true, Internal: internal, Labels: labels}
	return c.call(ctx, http.MethodPost, "/networks/create", nil, in, nil)
}

// Networks returns all that have all labels.
func (c *Client) Networks(ctx context.Context, labels map[string]string) ([]Network, error) {
	filters, err := json.Marshal(map[string][]string{"label": labelFilters(labels)})
	if err != nil {
		return nil, err
	}
	var all []Network
	if err := c.call(ctx, http.MethodGet, "/networks", url.Values{"filters": {string(filters)}}, nil, &all); err != nil {
		return nil, err
	}
	ours := all[:0]
	for _, n := range all {
		if has(n.Labels, labels) {
			ours = append(ours, n)
		}
	}
	return ours, nil
}

// Network returns one by its name or id: 404 if there is none.
func (c *Client) Network(ctx context.Context, name string) (Network, error) {
	var n Network
	err := c.call(ctx, http.MethodGet, "/networks/"+url.PathEscape(name), nil, nil, &n)
	return n, err
}

// Connect puts a container, by its name, on a network; one that is there already
// is no error (403).
func (c *Client) Connect(ctx context.Context, network, container string) error {
	in := map[string]string{"Container": container}
	return unless(c.call(ctx, http.MethodPost, "/networks/"+url.PathEscape(network)+"/connect", nil, in, nil), http.StatusForbidden)
}

// Disconnect takes a container off a network.
func (c *Client) Disconnect(ctx context.Context, network, container string) error {
	in := map[string]any{"Container": container, "Force": true}
	return c.call(ctx, http.MethodPost, "/networks/"+url.PathEscape(network)+"/disconnect", nil, in, nil)
}

// RemoveNetwork removes one; one that is gone is no error (404). 403 says that
// somebody is on it.
func (c *Client) RemoveNetwork(ctx context.Context, id string) error {
	return unless(c.call(ctx, http.MethodDelete, "/networks/"+url.PathEscape(id), nil, nil, nil), http.StatusNotFound)
}

// network readies what a grant's container is to be on, and returns its name.
func (s *Step) network(ctx context.Context, grant string, spec Spec) (string, error) {
	switch spec.Network {
	case NetworkNone:
		return NetworkNone, nil
	case NetworkOwn:
		return s.ownNetwork(ctx, grant, spec)
	}
	n, err := s.opt.Client.Network(ctx, spec.Network)
	switch {
	case status(err) == http.StatusNotFound:
		return "", fmt.Errorf("%w: there is no network %s on that machine", webhook.ErrRefused, spec.Network)
	case err != nil:
		return "", err
	case !n.apart():
		return "", fmt.Errorf("%w: workspaces on the network %s would reach each other; use network: own, or make it with -o %s=false", webhook.ErrRefused, spec.Network, optionICC)
	}
	return spec.Network, nil
}

// ownNetwork makes the network of a grant, unless an attempt before has, and puts
// those on it who reach the workspace.
func (s *Step) ownNetwork(ctx context.Context, grant string, spec Spec) (string, error) {
	name := namePrefix + grant
	err := s.opt.Client.CreateNetwork(ctx, name, !spec.Internet, s.labels(grant))
	if status(err) == http.StatusConflict {
		var found []Network
		if found, err = s.opt.Client.Networks(ctx, s.labels(grant)); err == nil && len(found) == 0 {
			err = fmt.Errorf("%w: there is a network %s that is not this provisioner's", webhook.ErrRefused, name)
		}
	}
	if err != nil {
		return "", err
	}
	for _, who := range spec.ReachedBy {
		err := s.opt.Client.Connect(ctx, name, who)
		if status(err) == http.StatusNotFound {
			return "", fmt.Errorf("the container %s, which is to reach workspaces, is not on that machine: %w", who, err)
		}
		if err != nil {
			return "", err
		}
	}
	return name, nil
}

// dropNetworks takes away the networks of a grant whose containers are gone.
// Whoever is still on one, such as the proxy, is taken off before.
func (s *Step) dropNetworks(ctx context.Context, grant string) error {
	found, err := s.opt.Client.Networks(ctx, s.labels(grant))
	if err != nil {
		return err
	}
	var errs []error
	for _, n := range found {
		n, err := s.opt.Client.Network(ctx, n.ID)
		if status(err) == http.StatusNotFound {
			continue
		}
		if err != nil {
			return err
		}
		for id := range n.Containers {
			// Whether it is off is seen when the network is removed.
			_ = s.opt.Client.Disconnect(ctx, n.ID, id)
		}
		if err = s.opt.Client.RemoveNetwork(ctx, n.ID); status(err) == http.StatusForbidden {
			err = fmt.Errorf("%w: %w", webhook.ErrPending, err)
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}
