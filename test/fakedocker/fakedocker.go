// Package fakedocker is a fake of Docker Engine: it speaks the engine's wire
// format on a Unix socket (API 1.40 to 1.56: versioned paths, error bodies,
// status codes, filters), keeps containers that never run and networks that carry
// nothing, and does what a test asks of it: fail, wait, take its time with a removal.
//
// It judges what it is sent as strictly as the engine would, and more: fields
// that the API does not have are refused.
package fakedocker

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
)

// Container is one that the fake keeps. State is created, running, exited or
// removing.
type Container struct {
	ID, Name, State string
	Body            Create
}

// Create is the body of POST /containers/create, as far as anybody here sends it.
type Create struct {
	Image, Hostname, User string
	Cmd, Env              []string
	Labels                map[string]string
	HostConfig            HostConfig
}

// HostConfig is a part of Create.
type HostConfig struct {
	Memory, MemorySwap, NanoCpus, PidsLimit, ShmSize int64
	Ulimits                                          []struct {
		Name       string
		Soft, Hard int64
	}
	ReadonlyRootfs, Privileged, AutoRemove, Init bool
	Tmpfs                                        map[string]string
	CapAdd, CapDrop, SecurityOpt, Binds          []string
	NetworkMode, IpcMode, PidMode, CgroupnsMode  string
	RestartPolicy                                struct{ Name string }
	LogConfig                                    struct {
		Type   string
		Config map[string]string
	}
}

// Engine is the fake. Safe for concurrent use.
type Engine struct {
	// Socket is the path of its Unix socket.
	Socket string

	mu         sync.Mutex
	min, max   string
	containers []*Container
	networks   []*Network
	images     map[string]bool
	calls      []string
	failures   map[string][]failure
	hooks      map[string]func()
	slow       bool
	server     *http.Server
}

type failure struct {
	status  int
	message string
}

// Start runs a fake that has the images, until the test ends.
func Start(t testing.TB, images ...string) *Engine {
	t.Helper()
	dir, err := os.MkdirTemp("", "engine") // a test's own folder may be too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	e := &Engine{Socket: filepath.Join(dir, "docker.sock"), min: "1.40", max: "1.56", images: map[string]bool{}, failures: map[string][]failure{}, hooks: map[string]func(){}}
	for _, i := range images {
		e.images[i] = true
	}
	l, err := net.Listen("unix", e.Socket)
	if err != nil {
		t.Fatal(err)
	}
	e.server = &http.Server{Handler: http.HandlerFunc(e.serve)}
	go func() { _ = e.server.Serve(l) }()
	t.Cleanup(func() { _ = e.server.Close(); _ = os.RemoveAll(dir) })
	return e
}

// Speak sets the oldest and the newest version of the API that it speaks.
func (e *Engine) Speak(oldest, newest string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.min, e.max = oldest, newest
}

// Fail has the next call of a kind (create, start, stop, remove, list, version,
// ping, and those of networks) answered with a status and nothing done.
func (e *Engine) Fail(call string, status int, message string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.failures[call] = append(e.failures[call], failure{status, message})
}

// After has f called once a call of a kind was done, and before it is answered.
func (e *Engine) After(call string, f func()) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.hooks[call] = f
}

// RemoveSlowly has removals begin and not end, until Removed.
func (e *Engine) RemoveSlowly() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.slow = true
}

// Removed ends all removals that have begun, and has others end at once.
func (e *Engine) Removed() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.slow = false
	e.containers = slices.DeleteFunc(e.containers, func(c *Container) bool { return c.State == "removing" })
}

// Add puts a container there that was made by somebody else.
func (e *Engine) Add(name, state string, labels map[string]string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.add(name, state, Create{Image: "others:1", Labels: labels})
}

func (e *Engine) add(name, state string, body Create) *Container {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s %d", name, len(e.calls)))
	c := &Container{ID: hex.EncodeToString(sum[:]), Name: name, State: state, Body: body}
	e.containers = append(e.containers, c)
	return c
}

// Calls returns what was asked for, in order: the kind and the container's name.
func (e *Engine) Calls() []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Clone(e.calls)
}

// Containers returns what there is.
func (e *Engine) Containers() []Container {
	e.mu.Lock()
	defer e.mu.Unlock()
	all := []Container{}
	for _, c := range e.containers {
		all = append(all, *c)
	}
	return all
}

var (
	path = regexp.MustCompile(`^/v(1\.[0-9]+)(/.*)$`)
	name = regexp.MustCompile(`^/?[a-zA-Z0-9][a-zA-Z0-9_.-]+$`)
	one  = regexp.MustCompile(`^/containers/([^/]+)(/start|/stop)?$`)
)

// answer is a status and a body; 204 and 304 have none.
type answer struct {
	status int
	body   any
}

func problem(status int, format string, args ...any) answer {
	return answer{status, map[string]string{"message": fmt.Sprintf(format, args...)}}
}

func (e *Engine) serve(w http.ResponseWriter, r *http.Request) {
	e.mu.Lock()
	call, a := e.route(r)
	hook := e.hooks[call]
	e.mu.Unlock()
	if hook != nil {
		hook()
	}
	e.mu.Lock()
	w.Header().Set("Api-Version", e.max)
	e.mu.Unlock()
	if a.body == nil {
		w.WriteHeader(a.status)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(a.status)
	_ = json.NewEncoder(w).Encode(a.body)
}

// route answers one request; it is called with the lock.
func (e *Engine) route(r *http.Request) (call string, a answer) {
	note := func(kind, about string, do func() answer) (string, answer) {
		e.calls = append(e.calls, strings.TrimSpace(kind+" "+about))
		if f := e.failures[kind]; len(f) > 0 {
			e.failures[kind] = f[1:]
			return kind, problem(f[0].status, "%s", f[0].message)
		}
		return kind, do()
	}
	switch r.Method + " " + r.URL.Path {
	case "GET /_ping":
		return note("ping", "", func() answer { return answer{status: http.StatusOK} })
	case "GET /version":
		return note("version", "", func() answer {
			return answer{http.StatusOK, map[string]any{"Version": "28.0.0", "ApiVersion": e.max, "MinAPIVersion": e.min, "Os": "linux"}}
		})
	}
	m := path.FindStringSubmatch(r.URL.Path)
	if m == nil {
		return "", problem(http.StatusNotFound, "page not found")
	}
	if older(m[1], e.min) {
		return "", problem(http.StatusBadRequest, "client version %s is too old. Minimum supported API version is %s, please upgrade your client to a newer version", m[1], e.min)
	}
	if older(e.max, m[1]) {
		return "", problem(http.StatusBadRequest, "client version %s is too new. Maximum supported API version is %s", m[1], e.max)
	}
	switch {
	case r.Method == http.MethodGet && m[2] == "/containers/json":
		return note("list", "", func() answer { return e.list(r) })
	case r.Method == http.MethodPost && m[2] == "/containers/create":
		return note("create", r.URL.Query().Get("name"), func() answer { return e.create(r) })
	case strings.HasPrefix(m[2], "/networks"):
		kind, about, do := e.network(r, m[2])
		if do == nil {
			return "", problem(http.StatusNotFound, "page not found")
		}
		return note(kind, about, do)
	}
	c := one.FindStringSubmatch(m[2])
	if c == nil {
		return "", problem(http.StatusNotFound, "page not found")
	}
	kind := map[string]string{"POST /start": "start", "POST /stop": "stop", "DELETE ": "remove"}[r.Method+" "+c[2]]
	i := slices.IndexFunc(e.containers, func(x *Container) bool { return x.ID == c[1] || x.Name == c[1] })
	if i < 0 {
		return note(kind, "", func() answer { return problem(http.StatusNotFound, "No such container: %s", c[1]) })
	}
	return note(kind, e.containers[i].Name, func() answer { return e.move(kind, i, r) })
}

func older(a, b string) bool {
	var x, y int
	_, _ = fmt.Sscanf(a, "1.%d", &x)
	_, _ = fmt.Sscanf(b, "1.%d", &y)
	return x < y
}

func (e *Engine) list(r *http.Request) answer {
	var filters struct {
		Label []string `json:"label"`
	}
	if f := r.URL.Query().Get("filters"); f != "" {
		if err := json.Unmarshal([]byte(f), &filters); err != nil {
			return problem(http.StatusBadRequest, "invalid filter")
		}
	}
	out := []map[string]any{}
	for _, c := range e.containers {
		if r.URL.Query().Get("all") != "1" && c.State != "running" || !labelled(c.Body.Labels, filters.Label) {
			continue
		}
		out = append(out, map[string]any{"Id": c.ID, "Names": []string{"/" + c.Name}, "Image": c.Body.Image, "State": c.State, "Status": "Up", "Labels": c.Body.Labels})
	}
	return answer{http.StatusOK, out}
}

func labelled(have map[string]string, want []string) bool {
	for _, w := range want {
		k, v, valued := strings.Cut(w, "=")
		got, ok := have[k]
		if !ok || valued && got != v {
			return false
		}
	}
	return true
}

func (e *Engine) create(r *http.Request) answer {
	if r.Header.Get("Content-Type") != "application/json" {
		return problem(http.StatusUnsupportedMediaType, "unsupported Content-Type header")
	}
	var buf bytes.Buffer
	_, _ = buf.ReadFrom(r.Body)
	d := json.NewDecoder(&buf)
	d.DisallowUnknownFields()
	var body Create
	if err := d.Decode(&body); err != nil {
		return problem(http.StatusBadRequest, "%v", err)
	}
	n := r.URL.Query().Get("name")
	switch {
	case !name.MatchString(n):
		return problem(http.StatusBadRequest, "Invalid container name (%s), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed", n)
	case body.HostConfig.Memory > 0 && body.HostConfig.Memory < 6<<20:
		return problem(http.StatusBadRequest, "Minimum memory limit allowed is 6MB")
	case !e.images[body.Image]:
		return problem(http.StatusNotFound, "No such image: %s", body.Image)
	case body.HostConfig.NetworkMode != "none" && e.named(body.HostConfig.NetworkMode) == nil:
		return problem(http.StatusNotFound, "network %s not found", body.HostConfig.NetworkMode)
	}
	for _, c := range e.containers {
		if c.Name == n {
			return problem(http.StatusConflict, "Conflict. The container name %q is already in use by container %q. You have to remove (or rename) that container to be able to reuse that name.", "/"+n, c.ID)
		}
	}
	return answer{http.StatusCreated, map[string]any{"Id": e.add(n, "created", body).ID, "Warnings": []string{}}}
}

func (e *Engine) move(kind string, i int, r *http.Request) answer {
	c := e.containers[i]
	switch {
	case kind == "remove" && c.State == "removing":
		return problem(http.StatusConflict, "removal of container %s is already in progress", c.ID)
	case kind == "remove" && c.State == "running" && r.URL.Query().Get("force") != "1":
		return problem(http.StatusConflict, "cannot remove container %q: container is running: stop the container before removing or force remove", "/"+c.Name)
	case kind == "remove" && e.slow:
		c.State = "removing"
	case kind == "remove":
		e.containers = slices.Delete(e.containers, i, i+1)
	case c.State == "removing":
		return problem(http.StatusConflict, "container is marked for removal and cannot be started")
	case kind == "start" && c.State == "running", kind == "stop" && c.State != "running":
		return answer{status: http.StatusNotModified}
	case kind == "start":
		c.State = "running"
	case kind == "stop":
		c.State = "exited"
	}
	return answer{status: http.StatusNoContent}
}
