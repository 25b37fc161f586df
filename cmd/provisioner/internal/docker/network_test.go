package docker_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/neosc/gate/cmd/provisioner/internal/webhook"
	"github.com/neosc/gate/test/fakedocker"
)

func of(kind string) webhook.Grant { g := grant; g.WorkspaceType = kind; return g }

// own returns the networks that were made for grants.
func (w *world) own() []fakedocker.Network {
	return slices.DeleteFunc(w.engine.Networks(), func(n fakedocker.Network) bool { return n.Labels["io.neosc.demo.grant"] == "" })
}

// TestWorkspaceHasANetworkOfItsOwn: nobody is on it but its container and the proxy, and
// it goes with them.
func TestWorkspaceHasANetworkOfItsOwn(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	second := of("alone")
	second.ID += "b"
	for range 2 {
		fine(t, w.step.Start(t.Context(), of("alone")))
		fine(t, w.step.Start(t.Context(), second))
	}
	networks := w.own()
	if len(networks) != 2 {
		t.Fatalf("networks %+v", networks)
	}
	for i, g := range []string{id, id + "b"} {
		n := networks[i]
		if n.Name != "neosc-"+g || n.Driver != "bridge" || !n.Internal || n.Labels["io.neosc.demo.grant"] != g || n.Labels["io.neosc.demo.instance"] != "default" {
			t.Errorf("%+v", n)
		}
		wants(t, "who reaches it", n.Joined, "kasm-proxy")
		if c := w.engine.Containers()[1+i]; c.Body.HostConfig.NetworkMode != n.Name {
			t.Errorf("%s is on %q", c.Name, c.Body.HostConfig.NetworkMode)
		}
	}
	fine(t, w.step.End(t.Context(), id))
	fine(t, w.step.End(t.Context(), id))
	if left := w.own(); len(left) != 1 || left[0].Name != "neosc-"+id+"b" {
		t.Errorf("networks %+v", left)
	}
	wants(t, "containers", w.states(), full+"b running")
}

func TestWorkspaceGetsOutOrNowhereAsItIsSaid(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	fine(t, w.step.Start(t.Context(), of("out")))
	if all := w.own(); len(all) != 1 || all[0].Internal || len(all[0].Joined) > 0 {
		t.Errorf("networks %+v", all)
	}
	offline := of("offline")
	offline.ID += "b"
	fine(t, w.step.Start(t.Context(), offline))
	if c := w.engine.Containers()[2]; c.Body.HostConfig.NetworkMode != "none" || len(w.own()) != 1 {
		t.Errorf("%+v", c)
	}
}

// TestNetworkThatIsLeft: what a crash left between the network and the container is
// used by the next try, told to the gate, and taken away at the end.
func TestNetworkThatIsLeft(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.engine.Fail("create", 500, "by the test")
	if err := w.step.Start(t.Context(), of("alone")); err == nil {
		t.Fatal("it went on")
	}
	got, err := w.step.Grants(t.Context())
	fine(t, err)
	wants(t, "grants", got, id)
	fine(t, w.step.Start(t.Context(), of("alone")))
	wants(t, "containers", w.states(), full+" running")
	w.engine.Fail("network disconnect", 500, "by the test")
	if err := w.step.End(t.Context(), id); !errors.Is(err, webhook.ErrPending) {
		t.Errorf("with the proxy on it still: %v", err)
	}
	fine(t, w.step.End(t.Context(), id))
	if left := w.own(); len(left) > 0 {
		t.Errorf("networks %+v", left)
	}
}

func TestNetworkSaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		fail    string
		status  int
		kind    string
		message string
		refused bool
	}{
		"NoProxy":         {"", 0, "proxied", "the container nobody, which is to reach workspaces, is not on that machine", false},
		"NoAddressesLeft": {"network create", 500, "alone", "docker answers 500", false},
		"ConnectFails":    {"network connect", 500, "alone", "docker answers 500", false},
		"ListFails":       {"networks", 500, "alone", "docker answers 500", false},
		"AStrangers":      {"", 0, "alone", "there is a network neosc-" + id + " that is not this provisioner's", true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			if name == "AStrangers" || name == "ListFails" {
				w.engine.AddNetwork(fakedocker.Network{Name: full, Driver: "bridge", Labels: map[string]string{"app": "portal"}})
			}
			if c.fail != "" {
				w.engine.Fail(c.fail, c.status, "by the test")
			}
			err := w.step.Start(t.Context(), of(c.kind))
			if err == nil || !strings.Contains(err.Error(), c.message) || errors.Is(err, webhook.ErrRefused) != c.refused {
				t.Errorf("got %v", err)
			}
			wants(t, "containers", w.states())
		})
	}
}
