// Package config is gate.yaml: its shape, its defaults, its checks and the
// environment variables that override it. It decides nothing else.
package config

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/neosc/gate/authz/route/strictyaml"
)

// Config is gate.yaml. Relative paths are relative to the file's folder.
type Config struct {
	// Routes is the routes file.
	Routes string `yaml:"routes"`
	Listen Listen `yaml:"listen"`
	Cookie Cookie `yaml:"cookie"`
	// Session says where sessions and local accounts are kept, and how long
	// they live.
	Session  Session  `yaml:"session"`
	Policy   Policy   `yaml:"policy"`
	Accounts Accounts `yaml:"accounts"`
	// Providers are the identity providers at which people sign in.
	Providers []Provider `yaml:"providers"`
	Limits    Limits     `yaml:"limits"`
	Identity  Identity   `yaml:"identity"`
	Metrics   Metrics    `yaml:"metrics"`
	Log       Log        `yaml:"log"`
	// Envoy says how a running Envoy gets changes of the routes file.
	Envoy Envoy `yaml:"envoy"`
	Audit Audit `yaml:"audit"`
	// Demo is just-in-time access to workspaces.
	Demo Demo `yaml:"demo"`
	// Decisions say where the decision log goes.
	Decisions Decisions `yaml:"decisions"`

	file string
}

// Listen names the sockets. Each path is at most 107 bytes (sun_path). Authz,
// Leash and HTTP may be tcp://ADDRESS:PORT instead, which needs TLS.
type Listen struct {
	// Authz is the Unix socket on which Envoy asks, mode 0660.
	Authz string `yaml:"authz"`
	// Leash is the Unix socket on which Envoy has live streams held, mode 0660;
	// empty means leash.sock beside authz.
	Leash string `yaml:"leash"`
	// HTTP is the Unix socket of the gate's own pages, mode 0660.
	HTTP string `yaml:"http"`
	// ADS is tcp://ADDRESS:PORT of the discovery service for Envoys on other
	// machines; empty means none, or the Unix socket of envoy.ads.
	ADS string    `yaml:"ads"`
	TLS ListenTLS `yaml:"tls"`
	// Admin is the Unix socket of the commands, mode 0600.
	Admin string `yaml:"admin"`
	// Ops is host:port of /healthz, /readyz and /metrics (pprof on loopback only).
	Ops string `yaml:"ops"`
}

// Cookie is the session cookie.
type Cookie struct {
	Name   string `yaml:"name"`
	Domain string `yaml:"domain"`
	// Keys is the key ring file, mode 0600; made on first use.
	Keys string `yaml:"keys"`
	// Insecure drops Secure and the __Host- prefix: plain-http *.localhost alone.
	Insecure bool `yaml:"insecure"`
}

// Session is the session store and its lifetimes.
type Session struct {
	// Store is memory, sqlite, or for gates that share their sessions redis or
	// postgres.
	Store string `yaml:"store"`
	// Path is the SQLite file, which local accounts are in as well; with
	// postgres they are there.
	Path string `yaml:"path"`
	// Redis is the server's URL (redis://, rediss:// or unix://). REDIS_URL
	// overrides it, which keeps a password out of the file.
	Redis    string   `yaml:"redis"`
	RedisTLS RedisTLS `yaml:"redis_tls"`
	// Postgres is the database's URL (postgres://). DATABASE_URL overrides it.
	// Over a network it wants sslmode=verify-full and sslrootcert in it, and
	// sslcert and sslkey where the server asks for them.
	Postgres string        `yaml:"postgres"`
	Lifetime time.Duration `yaml:"lifetime"`
	// Idle ends an unused session; 0 turns it off.
	Idle time.Duration `yaml:"idle"`
	// StaleGrace serves local copies that much longer when the store is away;
	// it forfeits the promise that a revoked session is dead within a second.
	StaleGrace time.Duration `yaml:"stale_grace"`
}

// Accounts are local users.
type Accounts struct {
	// Passwords says whether people sign in with passwords here: auto (unless
	// there are providers), on or off.
	Passwords string `yaml:"passwords"`
	// MFA is of whom a second factor is asked: required (of all local accounts),
	// admins, or optional (of nobody but by policy).
	MFA string `yaml:"mfa"`
	// Guesses per account and per address: sustained per minute, and burst.
	GuessesPerMinute int `yaml:"guesses_per_minute"`
	GuessBurst       int `yaml:"guess_burst"`
	// Argon2Memory is in MiB.
	Argon2Memory int `yaml:"argon2_memory_mib"`
	Argon2Passes int `yaml:"argon2_passes"`
	// MaxHashing is how many passwords are hashed at once; more get 429.
	MaxHashing int `yaml:"max_hashing"`
	// Registration is closed (but for who is invited) or open to anybody.
	Registration string `yaml:"registration"`
	// PasswordMin is the least characters of a new password; 0 in the file means
	// 8 where a second factor is asked of all, else 15.
	PasswordMin int  `yaml:"password_min"`
	Mail        Mail `yaml:"mail"`
}

// Limits say where rate limits are counted.
type Limits struct {
	// Store is local (this process alone) or redis (all replicas together).
	Store string `yaml:"store"`
	// Redis is the server's URL, and Mode is single, sentinel or cluster.
	// REDIS_URL overrides the URL.
	Redis    string   `yaml:"redis"`
	Mode     string   `yaml:"mode"`
	RedisTLS RedisTLS `yaml:"redis_tls"`
	// OnError is what holds while Redis is slow or away: local (this process
	// counts at the same rate), allow or deny.
	OnError string `yaml:"on_error"`
	// Replicas, above 1, is how many gates share the rate meanwhile.
	Replicas int `yaml:"replicas"`
	// Budget is how long one decision waits for Redis.
	Budget time.Duration `yaml:"budget"`
	// MaxKeys bounds the buckets kept in process.
	MaxKeys int `yaml:"max_keys"`
}

// Identity is what upstreams are told.
type Identity struct {
	// HeaderPrefix starts every identity header, lower case.
	HeaderPrefix string `yaml:"header_prefix"`
	// Keys is the file of the keys that sign the assertion, mode 0600, shared by
	// all replicas; made on first use.
	Keys string `yaml:"keys"`
}

// AssertionHeader is the header of the signed identity, lower case.
func (i Identity) AssertionHeader() string { return i.HeaderPrefix + "jwt-assertion" }

// Metrics names them.
type Metrics struct {
	Prefix string `yaml:"prefix"`
}

// Log says what is written where.
type Log struct {
	// Level is debug, info, warn or error.
	Level string `yaml:"level"`
	// Access is stdout, off, or a file to append to.
	Access string `yaml:"access"`
}

// Default returns the settings that hold where gate.yaml is silent.
func Default() Config {
	return Config{
		Routes:  "routes.yaml",
		Listen:  Listen{Authz: "run/authz.sock", HTTP: "run/http.sock", Admin: "run/admin.sock", Ops: "127.0.0.1:9464"},
		Cookie:  Cookie{Name: "_pomerium", Keys: "cookie-keys.yaml"},
		Session: Session{Store: "sqlite", Path: "gate.db", Lifetime: 8 * time.Hour, Idle: time.Hour},
		Policy:  defaultPolicy(),
		Accounts: Accounts{Passwords: PasswordsAuto, MFA: "admins", GuessesPerMinute: 5, GuessBurst: 10, Argon2Memory: 19, Argon2Passes: 2, MaxHashing: 4,
			Registration: RegistrationClosed, Mail: Mail{Send: MailOff, Security: "starttls"}},
		Limits:    Limits{Store: "local", Mode: "single", OnError: "local", Budget: 20 * time.Millisecond, MaxKeys: 1_000_000},
		Identity:  Identity{HeaderPrefix: "x-pomerium-", Keys: "assertion-keys.yaml"},
		Metrics:   Metrics{Prefix: "pomerium_"},
		Log:       Log{Level: "info", Access: "stdout"},
		Audit:     defaultAudit(),
		Demo:      defaultDemo(),
		Decisions: defaultDecisions(),
	}
}

// Load reads, overrides from the environment and checks a config file. Errors
// name the file, the line or variable, and the mend.
func Load(file string, environ []string) (*Config, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("config: %w (give its path with -config)", err)
	}
	return Parse(file, data, environ)
}

// Parse is Load for bytes already read; file names them in errors and anchors
// relative paths.
func Parse(file string, data []byte, environ []string) (*Config, error) {
	c := Default()
	c.file = file
	if err := strictyaml.Decode(file, data, &c); err != nil {
		return nil, err
	}
	if err := override(&c, environ); err != nil {
		return nil, err
	}
	if err := overrideZitadel(&c, environ); err != nil {
		return nil, err
	}
	if err := c.check(); err != nil {
		return nil, err
	}
	dir, err := filepath.Abs(filepath.Dir(file))
	if err != nil {
		return nil, fmt.Errorf("config: %w", err)
	}
	for _, p := range []*string{&c.Routes, &c.Cookie.Keys, &c.Identity.Keys, &c.Session.Path, &c.Policy.Path} {
		if *p != "" && !filepath.IsAbs(*p) {
			*p = filepath.Join(dir, *p)
		}
	}
	c.Listen.complete(dir)
	c.Session.RedisTLS.complete(dir)
	c.Limits.RedisTLS.complete(dir)
	c.Envoy.complete(dir, &c.Listen)
	c.Audit.complete(dir, c.Session.Path, c.Session.Store)
	c.Policy.complete(dir, c.Session.Path)
	c.Decisions.complete(dir)
	if a := &c.Log.Access; *a != "stdout" && *a != "off" && !filepath.IsAbs(*a) {
		*a = filepath.Join(dir, *a)
	}
	return &c, errors.Join(c.checkProviders(dir), c.checkAccounts(dir), c.checkDemo(dir), c.checkSockets(), c.checkDelivery())
}

// maxSocketPath is sun_path's size less its terminating NUL on Linux.
const maxSocketPath = 107

func (c *Config) checkSockets() error {
	for _, s := range []struct{ key, path string }{{"listen.authz", c.Listen.Authz}, {"listen.leash", c.Listen.Leash}, {"listen.http", c.Listen.HTTP}, {"listen.admin", c.Listen.Admin}} {
		if _, tcp := TCP(s.path); !tcp && len(s.path) > maxSocketPath {
			return c.errf(s.key, "is a path of %d bytes (%s); Unix sockets take at most %d: choose a shorter folder, e.g. /run/neosc-gate", len(s.path), s.path, maxSocketPath)
		}
	}
	return nil
}

func (c *Config) errf(key, format string, args ...any) error {
	return fmt.Errorf("%s: %s %s", c.file, key, fmt.Sprintf(format, args...))
}

func (c *Config) check() error {
	type rule struct {
		bad       bool
		key, mend string
	}
	l := c.Session.Lifetime
	for _, r := range []rule{
		{c.Routes == "", "routes", "is empty; name the routes file"},
		{c.Listen.Authz == "", "listen.authz", "is empty; name a Unix socket, e.g. run/authz.sock"},
		{c.Listen.HTTP == "", "listen.http", "is empty; name a Unix socket, e.g. run/http.sock"},
		{c.Listen.Admin == "", "listen.admin", "is empty; name a Unix socket, e.g. run/admin.sock"},
		{!cookieName(c.Cookie.Name), "cookie.name", "must be 1–64 letters, digits, - or _"},
		{c.Cookie.Domain == "" || strings.ContainsAny(c.Cookie.Domain, ":/ ;,"), "cookie.domain", "must be the parent domain of all hosts, e.g. .kappa4.com"},
		{c.Cookie.Insecure && !localhost(c.Cookie.Domain), "cookie.insecure", "is for *.localhost only: remove it and serve TLS"},
		{c.Cookie.Keys == "", "cookie.keys", "is empty; name the key ring file"},
		{!slices.Contains([]string{"sqlite", "memory", "redis", "postgres"}, c.Session.Store), "session.store", "must be sqlite, redis, postgres or memory"},
		{c.Session.Store == "sqlite" && c.Session.Path == "", "session.path", "is empty; name the SQLite file"},
		{l < time.Minute || l > 30*24*time.Hour, "session.lifetime", "must be from 1m to 720h"},
		{c.Session.Idle < 0 || c.Session.Idle > l, "session.idle", "must be from 0 (off) to session.lifetime"},
		{c.Session.StaleGrace < 0 || c.Session.StaleGrace > time.Hour, "session.stale_grace", "must be from 0 to 1h"},
		{c.Accounts.Passwords != PasswordsAuto && c.Accounts.Passwords != PasswordsOn && c.Accounts.Passwords != PasswordsOff, "accounts.passwords", "must be auto, on or off"},
		{!c.Passwords() && len(c.Providers) == 0, "accounts.passwords", "is off and there are no providers: nobody could sign in"},
		{c.Accounts.MFA != "required" && c.Accounts.MFA != "admins" && c.Accounts.MFA != "optional", "accounts.mfa", "must be required, admins or optional"},
		{c.Accounts.GuessesPerMinute < 1 || c.Accounts.GuessesPerMinute > 6000, "accounts.guesses_per_minute", "must be from 1 to 6000"},
		{c.Accounts.GuessBurst < 1 || c.Accounts.GuessBurst > 1000, "accounts.guess_burst", "must be from 1 to 1000"},
		{c.Accounts.Argon2Memory < 8 || c.Accounts.Argon2Memory > 1024, "accounts.argon2_memory_mib", "must be from 8 to 1024"},
		{c.Accounts.Argon2Passes < 1 || c.Accounts.Argon2Passes > 10, "accounts.argon2_passes", "must be from 1 to 10"},
		{c.Accounts.MaxHashing < 1 || c.Accounts.MaxHashing > 64, "accounts.max_hashing", "must be from 1 to 64"},
		{c.Limits.Store != "local" && c.Limits.Store != "redis", "limits.store", "must be local or redis"},
		{c.Limits.Mode != "single" && c.Limits.Mode != "sentinel" && c.Limits.Mode != "cluster", "limits.mode", "must be single, sentinel or cluster"},
		{c.Limits.OnError != "local" && c.Limits.OnError != "allow" && c.Limits.OnError != "deny", "limits.on_error", "must be local, allow or deny"},
		{c.Limits.Replicas < 0 || c.Limits.Replicas > 1000, "limits.replicas", "must be from 0 to 1000"},
		{c.Limits.Budget < time.Millisecond || c.Limits.Budget > time.Second, "limits.budget", "must be from 1ms to 1s"},
		{c.Limits.MaxKeys < 1000 || c.Limits.MaxKeys > 100_000_000, "limits.max_keys", "must be from 1000 to 100000000"},
		{!headerPrefix(c.Identity.HeaderPrefix), "identity.header_prefix", "must be lower-case letters, digits and -, starting with x- and ending with -"},
		{c.Identity.Keys == "", "identity.keys", "is empty; name the file of the signing keys"},
		{!metricPrefix(c.Metrics.Prefix), "metrics.prefix", "must be lower-case letters and _, ending with _"},
		{!logLevel(c.Log.Level), "log.level", "must be debug, info, warn or error"},
		{c.Log.Access == "", "log.access", "must be stdout, off or a file"},
	} {
		if r.bad {
			return c.errf(r.key, "%s", r.mend)
		}
	}
	return errors.Join(c.checkPolicy(), c.checkListen(), c.checkRedis(), c.checkRedisTLS(), c.checkPostgres(), c.checkAudit(), c.checkDecisions())
}

func cookieName(s string) bool {
	return len(s) >= 1 && len(s) <= 64 && strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-") == ""
}

func headerPrefix(s string) bool {
	return strings.HasPrefix(s, "x-") && strings.HasSuffix(s, "-") && len(s) > 3 && len(s) <= 32 &&
		strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789-") == ""
}

func metricPrefix(s string) bool {
	return strings.HasSuffix(s, "_") && len(s) <= 32 && strings.Trim(s, "abcdefghijklmnopqrstuvwxyz_") == ""
}

func logLevel(s string) bool { return s == "debug" || s == "info" || s == "warn" || s == "error" }

// localhost reports whether a cookie domain is localhost or below it.
func localhost(domain string) bool {
	d := strings.TrimPrefix(domain, ".")
	return d == "localhost" || strings.HasSuffix(d, ".localhost")
}
