package config_test

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/neosc/gate/cmd/gate/internal/config"
)

const least = "cookie: {domain: .kappa4.com}\n"

func TestDefaultsHoldWhereTheFileIsSilent(t *testing.T) {
	t.Parallel()
	c, err := config.Parse("/etc/gate/gate.yaml", []byte(least), nil)
	if err != nil {
		t.Fatal(err)
	}
	if c.Cookie.Name != "_pomerium" || c.Session.Lifetime != 8*time.Hour || c.Identity.HeaderPrefix != "x-pomerium-" || c.Metrics.Prefix != "pomerium_" || c.Session.StaleGrace != 0 {
		t.Errorf("got %+v", c)
	}
	for what, got := range map[string]string{"/etc/gate/routes.yaml": c.Routes, "/etc/gate/run/authz.sock": c.Listen.Authz, "/etc/gate/gate.db": c.Session.Path} {
		if got != what {
			t.Errorf("a relative path became %q, want %q beside the file", got, what)
		}
	}
}

func TestWrongSettingsNameThePlaceAndTheMend(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct{ yaml, want string }{
		"UnknownKey":         {least + "sesion: {idle: 1h}\n", `gate.yaml:2: `},
		"NearestKey":         {least + "session: {idel: 1h}\n", `idle`},
		"WrongType":          {least + "session: {lifetime: [1]}\n", `gate.yaml:2: `},
		"BadDuration":        {least + "session: {lifetime: 8 hours}\n", `lifetime`},
		"NoDomain":           {"log: {level: info}\n", `cookie.domain must be the parent domain`},
		"InsecureOffLocal":   {"cookie: {domain: .kappa4.com, insecure: true}\n", `cookie.insecure is for *.localhost only`},
		"InsecureLookalike":  {"cookie: {domain: .evillocalhost, insecure: true}\n", `cookie.insecure is for *.localhost only`},
		"UnknownStore":       {least + "session: {store: mongodb}\n", `session.store must be`},
		"IdleOverLifetime":   {least + "session: {lifetime: 1h, idle: 2h}\n", `session.idle must be`},
		"PrefixUpperCase":    {least + "identity: {header_prefix: X-Pom-}\n", `identity.header_prefix must be`},
		"SocketPathTooLong":  {least + "listen: {authz: /" + strings.Repeat("a", 120) + "/s.sock}\n", `Unix sockets take at most 107`},
		"TwoDocuments":       {least + "---\n" + least, `gate.yaml`},
		"NotYAML":            {"\t{", `gate.yaml`},
		"LogLevel":           {least + "log: {level: loud}\n", `log.level must be debug, info, warn or error`},
		"PolicyTimeoutRange": {least + "policy: {timeout: 10s}\n", `policy.timeout must be from 1ms to 1s`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := config.Parse("gate.yaml", []byte(tc.yaml), nil)
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("error %v, want one that says %q", err, tc.want)
			}
		})
	}
}

func TestTheEnvironmentOverridesScalarsAndRefusesTheRest(t *testing.T) {
	t.Parallel()
	c, err := config.Parse("gate.yaml", []byte(least), []string{"PATH=/bin", "GATE_SESSION_STORE=memory", "GATE_SESSION_IDLE=30m", "GATE_COOKIE_INSECURE=false", "GATE_LIMITS_MAX_KEYS=5000", "GATE_ENVOY=/x/envoy", "GATE_TIMER_SLACK=off"})
	if err != nil {
		t.Fatal(err)
	}
	if c.Session.Store != "memory" || c.Session.Idle != 30*time.Minute || c.Limits.MaxKeys != 5000 {
		t.Errorf("got %+v", c)
	}
	for name, tc := range map[string]struct{ env, want string }{
		"Unknown":     {"GATE_SESION_STORE=memory", "GATE_SESION_STORE overrides no key"},
		"BadDuration": {"GATE_SESSION_IDLE=soon", "is no duration"},
		"BadNumber":   {"GATE_LIMITS_MAX_KEYS=many", "is no whole number"},
		"BadBool":     {"GATE_COOKIE_INSECURE=perhaps", "is neither true nor false"},
		"OutOfRange":  {"GATE_LIMITS_MAX_KEYS=1", "limits.max_keys must be"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if _, err := config.Parse("gate.yaml", []byte(least), []string{tc.env}); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("error %v, want one that says %q", err, tc.want)
			}
		})
	}
}

func TestEveryKeyHasAYAMLName(t *testing.T) {
	t.Parallel()
	var walk func(reflect.Type, string)
	walk = func(x reflect.Type, at string) {
		for i := range x.NumField() {
			f := x.Field(i)
			if !f.IsExported() {
				continue
			}
			if f.Tag.Get("yaml") == "" {
				t.Errorf("%s%s has no yaml tag", at, f.Name)
			}
			if f.Type.Kind() == reflect.Struct {
				walk(f.Type, at+f.Name+".")
			}
		}
	}
	walk(reflect.TypeFor[config.Config](), "")
}

func FuzzParseNeverPanics(f *testing.F) {
	f.Add([]byte(least))
	f.Add([]byte(least + "session: {idle: 99999h}\nlog: {level: \"\"}\n"))
	f.Add([]byte("a: &a [*a]"))
	f.Add([]byte("{}"))
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := config.Parse("gate.yaml", data, nil)
		if err == nil && (c.Session.Idle > c.Session.Lifetime || c.Cookie.Domain == "") {
			t.Errorf("accepted %+v", c)
		}
	})
}
