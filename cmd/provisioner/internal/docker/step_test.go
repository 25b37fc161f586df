package docker_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/neosc/gate/cmd/provisioner/internal/docker"
	"github.com/neosc/gate/cmd/provisioner/internal/webhook"
	"github.com/neosc/gate/test/fakedocker"
)

var noon = time.Date(2026, 3, 5, 12, 0, 0, 0, time.UTC)

const (
	image = "registry.example.com/desktop:1.16"
	id    = "demo-1772712000-k3v9x2"
	full  = "neosc-" + id
)

var grant = webhook.Grant{ID: id, UserID: "u1", Email: "ana@example.com", WorkspaceType: "desktop", ExpiresAt: noon.Add(30 * time.Minute)}

type world struct {
	engine *fakedocker.Engine
	client *docker.Client
	step   *docker.Step
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{engine: fakedocker.Start(t, image)}
	w.client = docker.NewClient(w.engine.Socket)
	t.Cleanup(w.client.Close)
	w.engine.AddNetwork(fakedocker.Network{Name: "workspaces", Driver: "bridge", Options: map[string]string{"com.docker.network.bridge.enable_icc": "false"}})
	w.engine.AddNetwork(fakedocker.Network{Name: "shared", Driver: "bridge"})
	w.engine.Add("kasm-proxy", "running", map[string]string{"app": "proxy"})
	w.step = docker.NewStep(docker.Options{Client: w.client, Instance: "default", Most: 3, Grace: 3 * time.Second, Kinds: map[string]docker.Spec{
		"desktop": {Image: image, Command: []string{"run"}, Env: []string{"A=1"}, User: "1000:1000", Network: "workspaces", Memory: 2 << 30, Shm: 512 << 20, NanoCPUs: 1.5e9, Pids: 512, Tmpfs: map[string]int64{"/tmp": 64 << 20}},
		"alone":   {Image: image, User: "1000:1000", Network: docker.NetworkOwn, ReachedBy: []string{"kasm-proxy"}, Memory: 64 << 20, NanoCPUs: 1e9, Pids: 10},
		"out":     {Image: image, User: "1000:1000", Network: docker.NetworkOwn, Internet: true, Memory: 64 << 20, NanoCPUs: 1e9, Pids: 10},
		"proxied": {Image: image, User: "1000:1000", Network: docker.NetworkOwn, ReachedBy: []string{"nobody"}, Memory: 64 << 20, NanoCPUs: 1e9, Pids: 10},
		"shared":  {Image: image, User: "1000:1000", Network: "shared", Memory: 64 << 20, NanoCPUs: 1e9, Pids: 10},
		"nowhere": {Image: image, User: "1000:1000", Network: "gone", Memory: 64 << 20, NanoCPUs: 1e9, Pids: 10},
		"offline": {Image: image, User: "1000:1000", Network: docker.NetworkNone, Memory: 64 << 20, NanoCPUs: 1e9, Pids: 10},
		"missing": {Image: "registry.example.com/missing:1", Network: "workspaces", Memory: 64 << 20, NanoCPUs: 1e9, Pids: 10},
	}})
	return w
}

func (w *world) states() []string {
	all := []string{}
	for _, c := range w.engine.Containers() {
		if c.Name == "kasm-proxy" {
			continue // it is there before and after
		}
		all = append(all, c.Name+" "+c.State)
	}
	return all
}

func wants(t *testing.T, what string, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s: %q, want %q", what, got, want)
	}
}

func fine(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestWorkspaceIsConfined(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	fine(t, w.step.Start(t.Context(), grant))
	all := w.engine.Containers()[1:]
	if len(all) != 1 || all[0].Name != full || all[0].State != "running" {
		t.Fatalf("containers %+v", all)
	}
	c := all[0].Body
	h := c.HostConfig
	for what, wrong := range map[string]bool{
		"privileged":            h.Privileged,
		"capabilities":          !slices.Equal(h.CapDrop, []string{"ALL"}) || len(h.CapAdd) > 0,
		"new privileges":        !slices.Equal(h.SecurityOpt, []string{"no-new-privileges"}),
		"a writable root":       !h.ReadonlyRootfs,
		"memory":                h.Memory != 2<<30,
		"swap":                  h.MemorySwap != h.Memory,
		"CPUs":                  h.NanoCpus != 1_500_000_000,
		"processes":             h.PidsLimit != 512,
		"shared memory":         h.ShmSize != 512<<20,
		"tmpfs":                 h.Tmpfs["/tmp"] != "rw,nosuid,nodev,mode=1777,size=67108864",
		"the host's namespaces": h.NetworkMode != "workspaces" || h.IpcMode != "private" || h.PidMode != "" || h.CgroupnsMode != "private",
		"the host's folders":    len(h.Binds) > 0,
		"removal by itself":     h.AutoRemove,
		"restarts":              h.RestartPolicy.Name != "no",
		"logs without bounds":   h.LogConfig.Config["max-size"] != "10m",
		"core files": !slices.ContainsFunc(h.Ulimits, func(u struct {
			Name       string
			Soft, Hard int64
		}) bool {
			return u.Name == "core" && u.Hard == 0
		}),
		"another user":           c.User != "1000:1000",
		"another image":          c.Image != image || !slices.Equal(c.Cmd, []string{"run"}),
		"another host name":      c.Hostname != id,
		"other variables":        !slices.Equal(c.Env, []string{"A=1", "NEOSC_DEMO_SESSION_ID=" + id, "NEOSC_DEMO_EXPIRES_AT=2026-03-05T12:30:00Z"}),
		"no label of the grant":  c.Labels["io.neosc.demo.grant"] != id || c.Labels["io.neosc.demo.instance"] != "default",
		"the person's name told": strings.Contains(strings.Join(c.Env, " ")+c.Labels["email"], "ana"),
	} {
		if wrong {
			t.Errorf("it has %s", what)
		}
	}
}

func TestStartIsDoneOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	fine(t, w.step.Start(t.Context(), grant))
	fine(t, w.step.Start(t.Context(), grant)) // 304
	wants(t, "containers", w.states(), full+" running")
	wants(t, "calls", w.engine.Calls(), "version", "list", "list", "network workspaces", "create "+full, "start "+full, "list", "start "+full)
}

// TestCrashBetweenCreateAndStart: whoever comes next starts what is there.
func TestCrashBetweenCreateAndStart(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx, crash := context.WithCancel(t.Context())
	w.engine.After("create", crash)
	if err := w.step.Start(ctx, grant); err == nil {
		t.Fatal("it went on")
	}
	wants(t, "after the crash", w.states(), full+" created")
	fine(t, w.step.Start(t.Context(), grant))
	wants(t, "after the next try", w.states(), full+" running")
}

// TestNameThatIsTakenByOurOwn: the list was read before a create whose answer
// was lost took effect.
func TestNameThatIsTakenByOurOwn(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	lists := 0
	w.engine.After("list", func() {
		if lists++; lists == 2 {
			w.engine.Add(full, "created", map[string]string{"io.neosc.demo.grant": id, "io.neosc.demo.instance": "default"})
		}
	})
	fine(t, w.step.Start(t.Context(), grant))
	wants(t, "containers", w.states(), full+" running")
}

func TestNameThatIsTakenByAStranger(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.engine.Add(full, "running", map[string]string{"io.neosc.demo.grant": id, "io.neosc.demo.instance": "another"})
	if err := w.step.Start(t.Context(), grant); !errors.Is(err, webhook.ErrRefused) || !strings.Contains(err.Error(), "not this provisioner's") {
		t.Errorf("got %v", err)
	}
	fine(t, w.step.End(t.Context(), id))
	wants(t, "the stranger's", w.states(), full+" running")
}

func TestStartSaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	other := func(kind string) webhook.Grant { g := grant; g.WorkspaceType = kind; return g }
	for name, c := range map[string]struct {
		fail    string
		status  int
		grant   webhook.Grant
		want    error // nil: try again
		message string
	}{
		"UnknownType":     {"", 0, other("spaceship"), webhook.ErrRefused, `no workspace type "spaceship" here; there are alone, desktop, missing, nowhere, offline, out, proxied, shared`},
		"NoImage":         {"", 0, other("missing"), webhook.ErrRefused, "No such image"},
		"NoNetwork":       {"", 0, other("nowhere"), webhook.ErrRefused, "there is no network gone on that machine"},
		"NetworkOfAll":    {"", 0, other("shared"), webhook.ErrRefused, "workspaces on the network shared would reach each other; use network: own"},
		"NetworkUnknown":  {"network", 500, grant, nil, "docker answers 500"},
		"BadParameter":    {"create", 400, grant, webhook.ErrRefused, "docker answers 400"},
		"EngineFails":     {"create", 500, grant, nil, "docker answers 500"},
		"StartFails":      {"start", 500, grant, nil, "docker answers 500"},
		"StartIsBad":      {"start", 400, grant, webhook.ErrRefused, "docker answers 400"},
		"StartOfNone":     {"start", 404, grant, nil, "docker answers 404"},
		"StartOfRemoving": {"start", 409, grant, webhook.ErrPending, "docker answers 409"},
		"ListFails":       {"list", 500, grant, nil, "docker answers 500"},
		"VersionFails":    {"version", 503, grant, nil, "docker answers 503"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			if c.fail != "" {
				w.engine.Fail(c.fail, c.status, "by the test")
			}
			err := w.step.Start(t.Context(), c.grant)
			if err == nil || !strings.Contains(err.Error(), c.message) || c.want != nil && !errors.Is(err, c.want) || c.want == nil && (errors.Is(err, webhook.ErrRefused) || errors.Is(err, webhook.ErrPending)) {
				t.Fatalf("got %v", err)
			}
			if c.want == nil {
				fine(t, w.step.Start(t.Context(), c.grant))
				wants(t, "after another try", w.states(), full+" running")
			}
		})
	}
}

func TestMoreContainersThanMayBe(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, n := range []string{"a", "b", "c"} {
		g := grant
		g.ID = "demo-1-" + n
		fine(t, w.step.Start(t.Context(), g))
	}
	err := w.step.Start(t.Context(), grant)
	if r, ok := errors.AsType[*webhook.RetryError](err); !ok || r.After <= 0 {
		t.Fatalf("got %v", err)
	}
	fine(t, w.step.End(t.Context(), "demo-1-a"))
	fine(t, w.step.Start(t.Context(), grant))
}

func TestEndTakesAwayAllThatHasTheLabel(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	fine(t, w.step.Start(t.Context(), grant))
	labels := map[string]string{"io.neosc.demo.grant": id, "io.neosc.demo.instance": "default"}
	w.engine.Add("renamed-by-hand", "exited", labels)
	w.engine.Add("somebody-elses", "running", map[string]string{"app": "portal"})
	w.engine.Add("of-another-grant", "running", map[string]string{"io.neosc.demo.grant": id + "x", "io.neosc.demo.instance": "default"})
	fine(t, w.step.End(t.Context(), id))
	fine(t, w.step.End(t.Context(), id))
	wants(t, "what is left", w.states(), "somebody-elses running", "of-another-grant running")
	calls := w.engine.Calls()
	wants(t, "the end", calls[len(calls)-8:], "list", "stop "+full, "remove "+full, "remove renamed-by-hand", "list", "networks", "list", "networks")
}

func TestEndGoesOnUntilAllIsGone(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	fine(t, w.step.Start(t.Context(), grant))
	w.engine.RemoveSlowly()
	for range 2 { // begun by us, then found under way (409)
		if err := w.step.End(t.Context(), id); !errors.Is(err, webhook.ErrPending) {
			t.Fatalf("got %v", err)
		}
	}
	if err := w.step.Start(t.Context(), grant); !errors.Is(err, webhook.ErrPending) {
		t.Errorf("a start meanwhile: %v", err)
	}
	w.engine.Removed()
	fine(t, w.step.End(t.Context(), id))
	wants(t, "containers", w.states())
}

func TestEndSurvivesWhatTheEngineAnswers(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		fail   string
		status int
		again  bool
	}{
		"StopOfStopped": {"stop", 304, false},
		"StopOfGone":    {"stop", 404, false},
		"StopFails":     {"stop", 500, false}, // its removal kills it
		"RemoveFails":   {"remove", 500, true},
		"ListFails":     {"list", 500, true},
		"NetworksFail":  {"networks", 500, true},
		"RemoveOfGone":  {"remove", 404, true}, // it is in the list all the same
		"RemoveBusy":    {"remove", 409, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			fine(t, w.step.Start(t.Context(), grant))
			w.engine.Fail(c.fail, c.status, "by the test")
			if err := w.step.End(t.Context(), id); (err != nil) != c.again || errors.Is(err, webhook.ErrRefused) {
				t.Fatalf("got %v", err)
			}
			fine(t, w.step.End(t.Context(), id))
			wants(t, "containers", w.states())
		})
	}
}

func TestGrantsAreThoseWithALabel(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	fine(t, w.step.Start(t.Context(), grant))
	w.engine.Add("orphan", "exited", map[string]string{"io.neosc.demo.grant": "demo-1-orphan", "io.neosc.demo.instance": "default"})
	w.engine.Add("others", "running", map[string]string{"io.neosc.demo.grant": "demo-1-others", "io.neosc.demo.instance": "another"})
	w.engine.Add("wild", "running", map[string]string{"io.neosc.demo.grant": "../../etc", "io.neosc.demo.instance": "default"})
	got, err := w.step.Grants(t.Context())
	fine(t, err)
	wants(t, "grants", got, id, "demo-1-orphan")
}

func TestVersionIsOneThatBothSpeak(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ oldest, newest, want string }{
		"OfToday":   {"1.40", "1.56", ""},
		"AnOldOne":  {"1.12", "1.41", ""},
		"AFutures":  {"1.52", "1.70", ""},
		"TooOld":    {"1.12", "1.39", "want one from 1.40 on"},
		"ANonsense": {"", "", "want one from 1.40 on"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.engine.Speak(c.oldest, c.newest)
			err := w.step.Start(t.Context(), grant)
			if (c.want == "") != (err == nil) || err != nil && !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestEngineThatIsUpgradedMeanwhile(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	fine(t, w.step.Start(t.Context(), grant))
	w.engine.Speak("1.52", "1.70")
	if err := w.step.End(t.Context(), id); err == nil || errors.Is(err, webhook.ErrRefused) {
		t.Fatalf("got %v", err)
	}
	fine(t, w.step.End(t.Context(), id))
	wants(t, "containers", w.states())
}

func TestEngineThatIsAway(t *testing.T) {
	t.Parallel()
	c := docker.NewClient("/nonexistent/docker.sock")
	if err := c.Ping(t.Context()); err == nil || !strings.Contains(err.Error(), "docker does not answer") {
		t.Errorf("got %v", err)
	}
}
