package config

import (
	"fmt"
	"maps"
	"math"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/neosc/gate/cmd/provisioner/internal/docker"
)

// Workspace is what a workspace type runs in. What confines it is not here: it
// is the same for all.
type Workspace struct {
	Image   string            `yaml:"image"`
	Command []string          `yaml:"command"`
	Env     map[string]string `yaml:"env"`
	// User is UID:GID, neither of them root's.
	User string `yaml:"user"`
	// Network is own, none, or a network of the engine's that keeps those on it
	// apart.
	Network string `yaml:"network"`
	// ReachedBy are the containers that reach those on a network of their own, such
	// as the proxy; Internet lets these out.
	ReachedBy []string `yaml:"reached_by"`
	Internet  bool     `yaml:"internet"`
	// Memory, Shm and those of Tmpfs (by mount point) have a unit: 512MiB, 2GiB.
	Memory Bytes            `yaml:"memory"`
	Shm    Bytes            `yaml:"shm"`
	Tmpfs  map[string]Bytes `yaml:"tmpfs"`
	CPUs   float64          `yaml:"cpus"`
	Pids   int64            `yaml:"pids"`
	// Enrol has a NetBird key made for the container, in NB_SETUP_KEY.
	Enrol bool `yaml:"enrol"`
}

// Bytes is a size.
type Bytes int64

var sizes = map[string]int64{"KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}

// UnmarshalText implements encoding.TextUnmarshaler, which YAML uses too.
func (b *Bytes) UnmarshalText(text []byte) error {
	s := string(text)
	for unit, size := range sizes {
		if digits, ok := strings.CutSuffix(s, unit); ok {
			n, err := strconv.ParseInt(strings.TrimSpace(digits), 10, 64)
			if err == nil && n > 0 && n <= math.MaxInt64/size {
				*b = Bytes(n * size)
				return nil
			}
		}
	}
	return fmt.Errorf("%q is no size: want such as 512MiB or 2GiB", s)
}

var (
	name      = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,39}$`)
	image     = regexp.MustCompile(`^[a-z0-9][A-Za-z0-9._:/@-]{0,254}$`)
	versioned = regexp.MustCompile(`(:[A-Za-z0-9_][A-Za-z0-9._-]*|@sha256:[0-9a-f]{64})$`)
	user      = regexp.MustCompile(`^[1-9][0-9]{0,8}:[1-9][0-9]{0,8}$`)
	envName   = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)
	netName   = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$`)
)

// shared are the networks on which others are, or that are the host's own.
var shared = []string{"host", "bridge", "default"}

const (
	leastMemory = 16 << 20
	// reserved begins the names of what a container is told of its grant.
	reserved, setupKey = "NEOSC_DEMO_", "NB_SETUP_KEY"
)

func (c *Config) checkWorkspaces() []error {
	var errs []error
	for _, kind := range slices.Sorted(maps.Keys(c.Workspaces)) {
		w := c.Workspaces[kind]
		bad := func(ok bool, key, format string, args ...any) {
			if !ok {
				errs = append(errs, fmt.Errorf("%s: workspaces.%s.%s: %s", c.file, kind, key, fmt.Sprintf(format, args...)))
			}
		}
		if !name.MatchString(kind) {
			errs = append(errs, fmt.Errorf("%s: workspaces: %q is no name: a-z, 0-9, - and _, at most 40", c.file, kind))
			continue
		}
		bad(image.MatchString(w.Image), "image", "%q is no image", w.Image)
		bad(versioned.MatchString(w.Image) && !strings.HasSuffix(w.Image, ":latest"), "image", "%q names no version; add a tag or, better, a digest", w.Image)
		bad(user.MatchString(w.User), "user", "%q is not UID:GID in numbers, neither of them 0, which is root", w.User)
		bad(netName.MatchString(w.Network) && !slices.Contains(shared, w.Network), "network", "want own, none, or a network that keeps workspaces apart; %q is not one", w.Network)
		own := w.Network == docker.NetworkOwn
		bad(own || len(w.ReachedBy) == 0, "reached_by", "is for network: own; on another, those who reach workspaces join by themselves")
		bad(own || !w.Internet, "internet", "is for network: own; of another the engine decides")
		for _, who := range w.ReachedBy {
			bad(netName.MatchString(who), "reached_by", "%q is no name of a container", who)
		}
		bad(w.Memory >= leastMemory, "memory", "want at least 16MiB")
		bad(w.Shm == 0 || w.Shm <= w.Memory, "shm", "is more than memory, of which it is a part")
		bad(w.CPUs >= 0.01 && w.CPUs <= 1024, "cpus", "%v is not 0.01 to 1024", w.CPUs)
		bad(w.Pids >= 1 && w.Pids <= 1<<20, "pids", "%d is not 1 to 1048576", w.Pids)
		bad(!w.Enrol || c.NetBird.URL != "", "enrol", "needs netbird")
		bad(!w.Enrol || w.Network != docker.NetworkNone && (!own || w.Internet), "enrol", "needs a network by which NetBird is reached; with network: own, internet: true")
		for at := range w.Tmpfs {
			bad(path.IsAbs(at) && path.Clean(at) == at && at != "/" && !strings.ContainsAny(at, ":,"), "tmpfs", "%q is no mount point", at)
		}
		for k, v := range w.Env {
			bad(envName.MatchString(k) && !strings.ContainsAny(v, "\x00\n"), "env", "%q is no environment variable", k)
			bad(!strings.HasPrefix(k, reserved) && k != setupKey, "env", "%s is set by the provisioner", k)
		}
	}
	return errs
}

// Spec is the type as the engine is told of it.
func (w Workspace) Spec() docker.Spec {
	s := docker.Spec{
		Image: w.Image, Command: w.Command, User: w.User, Network: w.Network, ReachedBy: w.ReachedBy, Internet: w.Internet,
		Memory: int64(w.Memory), Shm: int64(w.Shm), NanoCPUs: int64(w.CPUs * 1e9), Pids: w.Pids,
		Tmpfs: map[string]int64{},
	}
	for at, size := range w.Tmpfs {
		s.Tmpfs[at] = int64(size)
	}
	for _, k := range slices.Sorted(maps.Keys(w.Env)) {
		s.Env = append(s.Env, k+"="+w.Env[k])
	}
	return s
}
