// Package config is provisioner.yaml: its shape, its defaults and its checks,
// and the files with secrets that it names.
package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/neosc/gate/cmd/provisioner/internal/webhook"
)

// Config is provisioner.yaml. Relative paths are relative to the file's folder.
type Config struct {
	Listen Listen `yaml:"listen"`
	// Secrets is a file of mode 0600 with one whsec_<base64> a line: those that
	// the gate signs with, several while one is being changed.
	Secrets string `yaml:"secrets"`
	// State is the folder in which ended grants are remembered.
	State  string `yaml:"state"`
	Docker Docker `yaml:"docker"`
	// NetBird, if its url is set, adds the step network.
	NetBird    NetBird              `yaml:"netbird"`
	Workspaces map[string]Workspace `yaml:"workspaces"`
	// Timeout bounds one message; the gate has to wait longer.
	Timeout time.Duration `yaml:"timeout"`
	// Parallel is how many messages are dealt with at once.
	Parallel int `yaml:"parallel"`

	file string
}

// Listen says where the gate's messages arrive.
type Listen struct {
	// Hooks is unix:///PATH (mode 0660) or tcp://HOST:PORT.
	Hooks string `yaml:"hooks"`
	// Cert and Key make it HTTPS; ClientCA wants a certificate of the gate's too.
	Cert     string `yaml:"cert"`
	Key      string `yaml:"key"`
	ClientCA string `yaml:"client_ca"`
	// Ops is HOST:PORT of /healthz, /readyz and /metrics.
	Ops string `yaml:"ops"`
}

// Docker is the engine that runs the workspaces.
type Docker struct {
	// Socket is its Unix socket.
	Socket string `yaml:"socket"`
	// Instance tells this provisioner's containers from another's.
	Instance string `yaml:"instance"`
	// Most is how many containers there may be at once.
	Most int `yaml:"most"`
	// Grace is how long a workspace has to end by itself.
	Grace time.Duration `yaml:"grace"`
}

// NetBird is the network that workspaces may join.
type NetBird struct {
	// URL is the management server's, https:// but on loopback.
	URL string `yaml:"url"`
	// Token is a file of mode 0600 with a personal access token (nbp_…).
	Token string `yaml:"token"`
	// Group is the name of the group whose peers are of demo grants.
	Group string `yaml:"group"`
}

// Load reads and checks a file. Errors name the file, the key and the mend.
func Load(file string) (*Config, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	c := &Config{
		file:   file,
		Listen: Listen{Hooks: "unix:///run/neosc-provisioner/hooks.sock", Ops: "127.0.0.1:9465"},
		State:  "/var/lib/neosc-provisioner",
		Docker: Docker{Socket: "/var/run/docker.sock", Instance: "default", Most: 50, Grace: 3 * time.Second},
		// Below the 10 s that the gate waits unless it is told otherwise.
		Timeout: 8 * time.Second, Parallel: 16,
	}
	d := yaml.NewDecoder(bytes.NewReader(b))
	d.KnownFields(true)
	if err := d.Decode(c); err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("%s: %s", file, said(err))
	}
	if err := d.Decode(new(any)); !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("%s: want one YAML document", file)
	}
	for _, p := range []*string{&c.Listen.Cert, &c.Listen.Key, &c.Listen.ClientCA, &c.Secrets, &c.State, &c.Docker.Socket, &c.NetBird.Token} {
		if *p != "" && !filepath.IsAbs(*p) {
			*p = filepath.Join(filepath.Dir(file), *p)
		}
	}
	if err := c.check(); err != nil {
		return nil, err
	}
	return c, nil
}

var goTypes = regexp.MustCompile(` (in|into) type [a-z]+\.\w+|unmarshal errors:\n  |yaml: `)

// said is the library's error in one line, without names of Go.
func said(err error) string {
	return strings.ReplaceAll(goTypes.ReplaceAllString(err.Error(), ""), "\n ", ";")
}

// check returns all that is wrong, each with the file and the key.
func (c *Config) check() error {
	var errs []error
	bad := func(ok bool, key, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf("%s: %s: %s", c.file, key, fmt.Sprintf(format, args...)))
		}
	}
	network, address := c.Hooks()
	bad(network != "", "listen.hooks", "%q is neither unix:///PATH nor tcp://HOST:PORT", c.Listen.Hooks)
	bad(network != "unix" || len(address) < 100, "listen.hooks", "a socket's path has at most 107 bytes, and a new one needs some more for a while")
	bad((c.Listen.Cert == "") == (c.Listen.Key == ""), "listen", "want both of cert and key, or neither")
	bad(c.Listen.ClientCA == "" || c.Listen.Cert != "", "listen.client_ca", "needs cert and key")
	bad(network != "unix" || c.Listen.Cert == "", "listen.cert", "a Unix socket has no TLS")
	bad(c.Secrets != "", "secrets", "is missing: the file with the secrets that the gate signs with")
	bad(c.State != "", "state", "is missing: the folder in which ended grants are remembered")
	bad(c.Docker.Socket != "", "docker.socket", "is missing")
	bad(name.MatchString(c.Docker.Instance), "docker.instance", "%q is no name: a-z, 0-9, - and _, at most 40", c.Docker.Instance)
	bad(c.Docker.Most >= 1 && c.Docker.Most <= 10_000, "docker.most", "%d is not 1 to 10000", c.Docker.Most)
	bad(c.Docker.Grace >= 0 && c.Docker.Grace <= c.Timeout/2, "docker.grace", "%s is not 0 to half of timeout", c.Docker.Grace)
	bad(c.Timeout >= time.Second && c.Timeout <= 5*time.Minute, "timeout", "%s is not 1s to 5m", c.Timeout)
	bad(c.Parallel >= 1 && c.Parallel <= 256, "parallel", "%d is not 1 to 256", c.Parallel)
	if c.NetBird != (NetBird{}) {
		u, err := url.Parse(c.NetBird.URL)
		bad(err == nil && u.Host != "" && u.User == nil && u.RawQuery == "" && (u.Scheme == "https" || u.Scheme == "http" && loopback(u.Hostname())), "netbird.url", "%q is no https:// URL", c.NetBird.URL)
		bad(c.NetBird.Token != "", "netbird.token", "is missing: the file with the access token")
		bad(c.NetBird.Group != "", "netbird.group", "is missing: the name of the group that workspaces are in")
	}
	bad(len(c.Workspaces) > 0, "workspaces", "there is none")
	errs = append(errs, c.checkWorkspaces()...)
	return errors.Join(errs...)
}

func loopback(host string) bool {
	return host == "localhost" || host == "127.0.0.1" || host == "::1"
}

// Hooks returns the network and the address of listen.hooks, or "".
func (c *Config) Hooks() (network, address string) {
	if p, ok := strings.CutPrefix(c.Listen.Hooks, "unix://"); ok && filepath.IsAbs(p) {
		return "unix", p
	}
	if a, ok := strings.CutPrefix(c.Listen.Hooks, "tcp://"); ok && strings.Contains(a, ":") {
		return "tcp", a
	}
	return "", ""
}

// ReadSecrets reads the file of secrets.
func (c *Config) ReadSecrets() (webhook.Secrets, error) {
	b, err := private(c.Secrets)
	if err != nil {
		return nil, err
	}
	s, err := webhook.ParseSecrets(b)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", c.Secrets, err)
	}
	return s, nil
}

// ReadToken reads NetBird's access token.
func (c *Config) ReadToken() (string, error) {
	b, err := private(c.NetBird.Token)
	if err != nil {
		return "", err
	}
	t := strings.TrimSpace(string(b))
	if t == "" || strings.ContainsAny(t, " \t\r\n") {
		return "", fmt.Errorf("%s: want one access token and nothing else", c.NetBird.Token)
	}
	return t, nil
}

// private reads a file that nobody else may read.
func private(file string) ([]byte, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if st.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("%s: mode %04o lets others read it; chmod 600", file, st.Mode().Perm())
	}
	return io.ReadAll(io.LimitReader(f, 64<<10))
}
