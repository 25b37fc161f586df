package docker

import (
	"fmt"
	"maps"
	"slices"
)

// Spec is what differs from container to container. What confines them does
// not: it is in create, and no setting takes it away.
type Spec struct {
	Image    string
	Command  []string
	Env      []string
	User     string
	Hostname string
	Labels   map[string]string
	// Network is NetworkOwn, NetworkNone, or the name of one that keeps those on it
	// apart.
	Network string
	// ReachedBy are the containers that are put on a grant's own network, by their
	// names; Internet lets what is on it out.
	ReachedBy []string
	Internet  bool
	// Memory, Shm and Tmpfs (by mount point) are in bytes; the last two count
	// towards the first. NanoCPUs are billionths of a CPU.
	Memory, Shm, NanoCPUs int64
	Pids                  int64
	Tmpfs                 map[string]int64
}

// createRequest is the body of POST /containers/create.
type createRequest struct {
	Image      string
	Hostname   string
	User       string            `json:",omitempty"`
	Cmd        []string          `json:",omitempty"`
	Env        []string          `json:",omitempty"`
	Labels     map[string]string `json:",omitempty"`
	HostConfig hostConfig
}

type hostConfig struct {
	Memory, MemorySwap, NanoCpus, PidsLimit, ShmSize int64
	Ulimits                                          []ulimit
	ReadonlyRootfs, Privileged, AutoRemove, Init     bool
	Tmpfs                                            map[string]string `json:",omitempty"`
	CapDrop, SecurityOpt                             []string
	NetworkMode, IpcMode, CgroupnsMode               string
	RestartPolicy                                    struct{ Name string }
	LogConfig                                        logConfig
}

type ulimit struct {
	Name       string
	Soft, Hard int64
}

type logConfig struct {
	Type   string
	Config map[string]string
}

// create is the request: no privilege, no capability, none to be gained, a root
// file system that cannot be written, no swap, namespaces of its own. It is not
// removed by itself when it stops: a container that ended early has to be found.
func (s Spec) create() createRequest {
	h := hostConfig{
		Memory: s.Memory, MemorySwap: s.Memory, NanoCpus: s.NanoCPUs, PidsLimit: s.Pids, ShmSize: s.Shm,
		Ulimits:        []ulimit{{"nofile", 65536, 65536}, {"core", 0, 0}},
		ReadonlyRootfs: true, Init: true,
		CapDrop: []string{"ALL"}, SecurityOpt: []string{"no-new-privileges"},
		NetworkMode: s.Network, IpcMode: "private", CgroupnsMode: "private",
		// What a workspace prints is bounded on the host's disk as well.
		LogConfig: logConfig{"local", map[string]string{"max-size": "10m", "max-file": "1"}},
	}
	h.RestartPolicy.Name = "no"
	if len(s.Tmpfs) > 0 {
		h.Tmpfs = map[string]string{}
		for _, at := range slices.Sorted(maps.Keys(s.Tmpfs)) {
			h.Tmpfs[at] = fmt.Sprintf("rw,nosuid,nodev,mode=1777,size=%d", s.Tmpfs[at])
		}
	}
	return createRequest{Image: s.Image, Hostname: s.Hostname, User: s.User, Cmd: s.Command, Env: s.Env, Labels: s.Labels, HostConfig: h}
}
