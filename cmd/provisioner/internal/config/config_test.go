package config

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const good = `
listen: {hooks: unix:///run/neosc-provisioner/hooks.sock}
secrets: hooks.secrets
netbird: {url: https://netbird.example.com, token: netbird.token, group: demo-workspaces}
workspaces:
  desktop:
    image: registry.example.com/desktop:1.16
    network: workspaces
    memory: 2GiB
    shm: 512MiB
    cpus: 1.5
    pids: 512
    user: "1000:1000"
    tmpfs: {/tmp: 64MiB, /home/user: 256MiB}
    env: {LANG: C.UTF-8}
    enrol: true
`

func write(t *testing.T, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "provisioner.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestGoodFileIsRead(t *testing.T) {
	t.Parallel()
	file := write(t, good)
	c, err := Load(file)
	if err != nil {
		t.Fatal(err)
	}
	s := c.Workspaces["desktop"].Spec()
	if s.Memory != 2<<30 || s.Shm != 512<<20 || s.NanoCPUs != 1_500_000_000 || s.Tmpfs["/tmp"] != 64<<20 || s.Env[0] != "LANG=C.UTF-8" {
		t.Errorf("spec %+v", s)
	}
	if c.Secrets != filepath.Join(filepath.Dir(file), "hooks.secrets") || c.Docker.Socket != "/var/run/docker.sock" {
		t.Errorf("paths %s, %s", c.Secrets, c.Docker.Socket)
	}
	if n, a := c.Hooks(); n != "unix" || a != "/run/neosc-provisioner/hooks.sock" {
		t.Errorf("hooks %s %s", n, a)
	}
}

func TestWhatIsWrongIsSaidWithItsPlace(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ old, new, want string }{
		"UnknownKey":         {"pids: 512", "pids: 512\n    privileged: true", "provisioner.yaml: line 13: field privileged not found"},
		"NoWorkspaces":       {good[strings.Index(good, "workspaces:\n"):], "", "workspaces: there is none"},
		"TwoDocuments":       {"secrets:", "---\nsecrets:", "one YAML document"},
		"NoSecrets":          {"secrets: hooks.secrets", "", "secrets: is missing"},
		"NoListener":         {"unix:///run/neosc-provisioner/hooks.sock", "udp://x", "listen.hooks"},
		"RelativeSocket":     {"unix:///run/neosc-provisioner/hooks.sock", "unix://hooks.sock", "listen.hooks"},
		"LongSocket":         {"/run/neosc", "/" + strings.Repeat("r", 100), "at most 107 bytes"},
		"CertificateAlone":   {"{hooks: unix:///run/neosc-provisioner/hooks.sock}", "{hooks: 'tcp://10.0.0.1:7443', cert: a}", "both of cert and key"},
		"CertificateOnUnix":  {"hooks.sock}", "hooks.sock, cert: a, key: b}", "a Unix socket has no TLS"},
		"CAWithoutKey":       {"hooks.sock}", "hooks.sock, client_ca: a}", "needs cert and key"},
		"PlainNetBird":       {"https://netbird", "http://netbird", "netbird.url"},
		"NetBirdWithAUser":   {"https://netbird", "https://me@netbird", "netbird.url"},
		"NoToken":            {"token: netbird.token, ", "", "netbird.token"},
		"NoGroup":            {", group: demo-workspaces", "", "netbird.group"},
		"NoNetBirdToEnrolIn": {"netbird: {url", "# {url", "workspaces.desktop.enrol: needs netbird"},
		"NoWayToEnrol":       {"network: workspaces", "network: none", "workspaces.desktop.enrol"},
		"NameOfAType":        {"  desktop:", "  Desk top:", `"Desk top" is no name`},
		"NoImage":            {"image: registry.example.com/desktop:1.16", "", "workspaces.desktop.image"},
		"NoVersion":          {"desktop:1.16", "desktop", "names no version"},
		"LatestVersion":      {"desktop:1.16", "desktop:latest", "names no version"},
		"PortIsNoVersion":    {"registry.example.com/desktop:1.16", "registry.example.com:5000/desktop", "names no version"},
		"HostsNetwork":       {"network: workspaces", "network: host", "workspaces.desktop.network"},
		"OthersNetwork":      {"network: workspaces", "network: container:gate", "workspaces.desktop.network"},
		"SharedNetwork":      {"network: workspaces", "network: bridge", "workspaces.desktop.network"},
		"NoMemory":           {"memory: 2GiB", "", "workspaces.desktop.memory"},
		"MemoryWithoutUnit":  {"memory: 2GiB", "memory: 2000", `"2000" is no size`},
		"MemoryBelowNothing": {"memory: 2GiB", "memory: -2GiB", "is no size"},
		"MemoryBeyondAll":    {"memory: 2GiB", "memory: 9999999999GiB", "is no size"},
		"ShmAboveMemory":     {"shm: 512MiB", "shm: 3GiB", "workspaces.desktop.shm"},
		"NoCPUs":             {"cpus: 1.5", "", "workspaces.desktop.cpus"},
		"NoCPUsAtAll":        {"cpus: 1.5", "cpus: .nan", "workspaces.desktop.cpus"},
		"NoProcesses":        {"pids: 512", "", "workspaces.desktop.pids"},
		"Root":               {`"1000:1000"`, `"0:0"`, "is root"},
		"RootByLongNumbers":  {`"1000:1000"`, `"00:1000"`, "is root"},
		"RootsGroup":         {`"1000:1000"`, `"1000:0"`, "is root"},
		"TheImagesUser":      {`    user: "1000:1000"`, "", "workspaces.desktop.user"},
		"ReachedOnAnother":   {"network: workspaces", "network: workspaces\n    reached_by: [proxy]", "workspaces.desktop.reached_by"},
		"ReachedByNobody":    {"network: workspaces", "network: own\n    internet: true\n    reached_by: [a/b]", "no name of a container"},
		"OutOfAnother":       {"network: workspaces", "network: workspaces\n    internet: true", "workspaces.desktop.internet"},
		"EnrolWithNoWayOut":  {"network: workspaces", "network: own", "internet: true"},
		"UserByName":         {`"1000:1000"`, `"kasm"`, "UID:GID"},
		"TmpfsOverTheRoot":   {"/tmp: 64MiB", "/: 64MiB", "is no mount point"},
		"TmpfsWithOptions":   {"/tmp: 64MiB", `"/tmp:exec": 64MiB`, "is no mount point"},
		"ReservedVariable":   {"LANG: C", "NEOSC_DEMO_SESSION_ID: C", "is set by the provisioner"},
		"NoVariable":         {"LANG: C", "LANG-UAGE: C", "is no environment variable"},
		"GraceAboveTimeout":  {"secrets: hooks.secrets", "secrets: hooks.secrets\ndocker: {grace: 20s}", "docker.grace"},
		"NoInstance":         {"secrets: hooks.secrets", "secrets: hooks.secrets\ndocker: {instance: 'a b'}", "docker.instance"},
		"NoContainers":       {"secrets: hooks.secrets", "secrets: hooks.secrets\ndocker: {most: 0}", "docker.most"},
		"TimeoutOfAnHour":    {"secrets: hooks.secrets", "secrets: hooks.secrets\ntimeout: 1h", "timeout"},
		"NothingAtOnce":      {"secrets: hooks.secrets", "secrets: hooks.secrets\nparallel: 0", "parallel"},
		"NoYAML":             {"secrets:", "\tsecrets:", "provisioner.yaml"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if !strings.Contains(good, c.old) {
				t.Fatalf("the good file has no %q", c.old)
			}
			_, err := Load(write(t, strings.Replace(good, c.old, c.new, 1)))
			if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "provisioner.yaml") {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}

func TestSecretsAreForTheirOwnerAlone(t *testing.T) {
	t.Parallel()
	file := write(t, good)
	c, err := Load(file)
	if err != nil {
		t.Fatal(err)
	}
	for path, read := range map[string]func() error{
		c.Secrets:       func() error { _, err := c.ReadSecrets(); return err },
		c.NetBird.Token: func() error { _, err := c.ReadToken(); return err },
	} {
		if err := read(); err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("without the file: %v", err)
		}
		for mode, want := range map[os.FileMode]string{0o640: "chmod 600", 0o604: "chmod 600", 0o600: ""} {
			if err := os.WriteFile(path, []byte("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			if err := os.Chmod(path, mode); err != nil {
				t.Fatal(err)
			}
			if err := read(); (err == nil) != (want == "") || err != nil && !strings.Contains(fmt.Sprint(err), want) {
				t.Errorf("mode %04o: %v", mode, err)
			}
		}
		if err := os.WriteFile(path, []byte("two words\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := read(); err == nil || strings.Contains(err.Error(), "two words") {
			t.Errorf("of nonsense: %v", err)
		}
	}
}
