package deploy

import (
	"slices"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/compose-spec/compose-go/v2/types"
)

func composeProject(t *testing.T) *types.Project {
	t.Helper()
	o, err := cli.NewProjectOptions([]string{"../../deploy/compose.yaml"}, cli.WithProfiles([]string{"demo"}))
	if err != nil {
		t.Fatal(err)
	}
	p, err := o.LoadProject(t.Context())
	if err != nil {
		t.Fatalf("deploy/compose.yaml does not load: %v", err)
	}
	return p
}

func TestEnvoyAlonePublishesPorts(t *testing.T) {
	for name, s := range composeProject(t).Services {
		if published := len(s.Ports) > 0; published != (name == "envoy") {
			t.Errorf("%s publishes ports: %v", name, published)
		}
		if s.NetworkMode == "host" {
			t.Errorf("%s is on the host's network", name)
		}
	}
}

func TestNetworksLeaveEnvoyAsTheOnlyWayIn(t *testing.T) {
	p := composeProject(t)
	want := map[string][]string{
		"envoy": {"internal", "proxy"}, "gate": {"egress", "internal", "state"}, "redis": {"state"}, "bootstrap": nil,
		"frontend": {"internal"}, "backend": {"internal"}, "kasm-proxy": {"internal"}, "provisioner": {"netbird"},
	}
	for name, s := range p.Services {
		got := s.NetworksByPriority()
		slices.Sort(got)
		if name == "bootstrap" && s.NetworkMode == "none" {
			got = nil
		}
		networks, known := want[name]
		if !known || !slices.Equal(got, networks) {
			t.Errorf("%s is on %v, want %v", name, got, networks)
		}
	}
	for name, internal := range map[string]bool{"internal": true, "state": true, "proxy": false, "egress": false, "netbird": false} {
		if n, ok := p.Networks[name]; !ok || bool(n.Internal) != internal {
			t.Errorf("network %s: there %v, internal %v; want internal %v", name, ok, n.Internal, internal)
		}
	}
}

func TestNoContainerIsPrivilegedOrWithoutLimits(t *testing.T) {
	for name, s := range composeProject(t).Services {
		limits := &types.Resource{}
		if s.Deploy != nil && s.Deploy.Resources.Limits != nil {
			limits = s.Deploy.Resources.Limits
		}
		for what, wrong := range map[string]bool{
			"is privileged":                     s.Privileged,
			"adds capabilities":                 len(s.CapAdd) > 0,
			"keeps capabilities":                !slices.Equal(s.CapDrop, []string{"ALL"}),
			"may gain privileges":               !slices.Contains(s.SecurityOpt, "no-new-privileges:true"),
			"writes to its root filesystem":     !s.ReadOnly,
			"runs as root":                      s.User == "" || strings.HasPrefix(s.User, "0") || s.User == "root",
			"has no memory limit":               limits.MemoryBytes == 0,
			"has no CPU limit":                  limits.NanoCPUs == 0,
			"has no limit of processes":         limits.Pids == 0,
			"shares a namespace with the host":  s.Pid == "host" || s.Ipc == "host" || s.UserNSMode == "host",
			"reaches a device":                  len(s.Devices) > 0,
			"mounts the engine's socket":        mounts(s, "docker.sock") && name != "provisioner",
			"takes an image by no version":      s.Build == nil && !strings.HasPrefix(s.Image, "neosc/") && (!strings.Contains(s.Image, ":") || strings.HasSuffix(s.Image, ":latest")),
			"writes to what the host has given": bindsWritable(s),
		} {
			if wrong {
				t.Errorf("%s %s", name, what)
			}
		}
	}
}

func mounts(s types.ServiceConfig, part string) bool {
	return slices.ContainsFunc(s.Volumes, func(v types.ServiceVolumeConfig) bool { return strings.Contains(v.Source, part) })
}

func bindsWritable(s types.ServiceConfig) bool {
	return slices.ContainsFunc(s.Volumes, func(v types.ServiceVolumeConfig) bool {
		return v.Type == types.VolumeTypeBind && !v.ReadOnly
	})
}

// TestOnlyTheGateAndEnvoyShareTheSockets: whoever can open them can ask for
// anybody.
func TestOnlyTheGateAndEnvoyShareTheSockets(t *testing.T) {
	for name, s := range composeProject(t).Services {
		ours := name == "envoy" || name == "gate" || name == "bootstrap"
		sockets := slices.ContainsFunc(s.Volumes, func(v types.ServiceVolumeConfig) bool { return v.Source == "run" })
		if sockets && !ours {
			t.Errorf("%s mounts the sockets", name)
		}
		if mounts(s, "production") && (!ours || name == "envoy") {
			t.Errorf("%s mounts the gate's configuration", name)
		}
	}
}

// TestTheGateSpeaksToTheProvisionerOverOneSocket: no network joins the two, and
// nobody else has the socket.
func TestTheGateSpeaksToTheProvisionerOverOneSocket(t *testing.T) {
	p := composeProject(t)
	if !mounts(p.Services["provisioner"], "docker.sock") {
		t.Error("the provisioner has no engine")
	}
	for name, s := range p.Services {
		if got, want := mounts(s, "hooks"), name == "gate" || name == "provisioner"; got != want {
			t.Errorf("%s has the socket of messages: %v", name, got)
		}
	}
	if _, on := p.Services["gate"].Networks["netbird"]; on || mounts(p.Services["gate"], "provisioner-state") {
		t.Error("the gate reaches what is the provisioner's")
	}
}

func TestTheBackendBelievesOnlyTheSignedIdentity(t *testing.T) {
	b := composeProject(t).Services["backend"]
	if v := b.Environment["TRUST_POMERIUM_HEADERS"]; v == nil || *v != "false" {
		t.Error("TRUST_POMERIUM_HEADERS is not false")
	}
}
