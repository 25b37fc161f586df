package redisstore

import (
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

// Defaults of Options.
const (
	DefaultPrefix      = "gate:session"
	DefaultTimeout     = 500 * time.Millisecond // half of what the edge waits
	DefaultReplicaWait = 500 * time.Millisecond
)

// Options set up a Store. Only URL is needed.
type Options struct {
	// URL says where Redis is:
	//
	//	redis://user:password@host:6379/0
	//	rediss://…                          the same by TLS
	//	unix://user:password@/path/of/socket?db=0
	//	redis://user:password@sentinel:26379/0?master_name=NAME&addr=sentinel2:26379
	//
	// It may hold a password and is never shown.
	URL string
	// TLS overrides what rediss:// sets up.
	TLS *tls.Config
	// Prefix begins every key, in braces; DefaultPrefix if empty.
	Prefix string
	// Timeout bounds each call, connecting included: 10 ms to 10 s, 0 means
	// DefaultTimeout. Sweep, List and DeleteUser make several calls.
	Timeout time.Duration
	// ReplicaWait is how long a deletion waits until one replica has it, where
	// the server has any; 0 means DefaultReplicaWait, below 0 not at all. A
	// deletion that no replica confirmed in time is an error, since a failover
	// might undo it; it may be repeated.
	ReplicaWait time.Duration
	// Clock is time.Now if nil. It must carry a monotonic reading.
	Clock func() time.Time
	// Logger is slog.Default() if nil.
	Logger *slog.Logger
	// Registerer takes the metrics of the feed; nil means none are shown.
	Registerer prometheus.Registerer
	// MetricPrefix is "pomerium_" if empty.
	MetricPrefix string
}

func (o *Options) complete() error {
	if o.Prefix == "" {
		o.Prefix = DefaultPrefix
	}
	if o.Timeout == 0 {
		o.Timeout = DefaultTimeout
	}
	if o.ReplicaWait == 0 {
		o.ReplicaWait = DefaultReplicaWait
	}
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if o.MetricPrefix == "" {
		o.MetricPrefix = "pomerium_"
	}
	switch {
	case o.URL == "":
		return errors.New("the Redis URL is missing, e.g. redis://127.0.0.1:6379")
	case strings.ContainsAny(o.Prefix, "{} \t\r\n") || len(o.Prefix) > 64:
		return fmt.Errorf("prefix %q: want at most 64 characters without braces or spaces", o.Prefix)
	case o.Timeout < 10*time.Millisecond || o.Timeout > 10*time.Second:
		return fmt.Errorf("a timeout of %v is not 10ms to 10s", o.Timeout)
	case o.ReplicaWait > 10*time.Second:
		return fmt.Errorf("a wait of %v for a replica is above 10s", o.ReplicaWait)
	}
	return nil
}

// CheckURL says what is wrong with a URL, without asking a server. The error
// shows no part of it that could be a password.
func CheckURL(raw string) error {
	_, err := parse(Options{URL: raw, Timeout: DefaultTimeout})
	return err
}

// target is a parsed URL: either one server, or the Sentinels that know it.
type target struct {
	server    *redis.Options // how to speak to the server; Addr is empty with Sentinels
	sentinels *redis.FailoverOptions
}

var errURL = errors.New("the Redis URL cannot be read; want redis://, rediss:// or unix://, with special characters of a password percent-encoded")

func parse(o Options) (*target, error) {
	u, err := url.Parse(o.URL)
	if err != nil {
		return nil, errURL // err shows the URL
	}
	if u.Query().Has("master_name") {
		return parseSentinels(o)
	}
	ro, err := redis.ParseURL(o.URL)
	if err != nil {
		return nil, redact(err)
	}
	if o.TLS != nil {
		ro.TLSConfig = o.TLS
	}
	ro.MaxRetries, ro.DialerRetries = -1, 1
	ro.DialTimeout, ro.ReadTimeout, ro.WriteTimeout, ro.PoolTimeout = o.Timeout, o.Timeout, o.Timeout, o.Timeout
	ro.ContextTimeoutEnabled, ro.DisableIdentity, ro.Protocol = true, true, 2
	ro.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
	return &target{server: ro}, nil
}

func parseSentinels(o Options) (*target, error) {
	fo, err := redis.ParseFailoverURL(o.URL)
	if err != nil {
		return nil, redact(err)
	}
	if fo.MasterName == "" || len(fo.SentinelAddrs) == 0 {
		return nil, errors.New("the Redis URL for Sentinels wants host:port of one and master_name=NAME")
	}
	if o.TLS != nil {
		fo.TLSConfig = o.TLS
	}
	fo.MaxRetries, fo.DialerRetries = -1, 1
	fo.DialTimeout, fo.ReadTimeout, fo.WriteTimeout, fo.PoolTimeout = o.Timeout, o.Timeout, o.Timeout, o.Timeout
	fo.ContextTimeoutEnabled, fo.DisableIdentity, fo.Protocol = true, true, 2
	server := &redis.Options{
		Network: "tcp", Username: fo.Username, Password: fo.Password, TLSConfig: fo.TLSConfig, DialTimeout: fo.DialTimeout,
	}
	return &target{server: server, sentinels: fo}, nil
}

// redact keeps errors of the URL's parser from showing the URL.
func redact(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		return errURL
	}
	return fmt.Errorf("the Redis URL: %w", err)
}

func (t *target) client() *redis.Client {
	if t.sentinels != nil {
		return redis.NewFailoverClient(t.sentinels)
	}
	return redis.NewClient(t.server)
}
