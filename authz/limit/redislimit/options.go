package redislimit

import (
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// OnError is what happens to a request when Redis gives no answer in time.
type OnError string

// Choices.
const (
	// Local lets the limiter in this process judge, at the same rate.
	Local OnError = "local"
	// Allow admits, but for what the memory of Redis' answers refuses. Budgets
	// for guessing secrets (limit.Guesses) do not follow: for them it means Local.
	Allow OnError = "allow"
	// Deny refuses with ErrUnavailable.
	Deny OnError = "deny"
)

// Defaults.
const (
	DefaultBudget   = 20 * time.Millisecond
	DefaultFailures = 3
	DefaultPrefix   = "gate:limit:"
)

// Options are what New needs. Only URL must be given.
type Options struct {
	// URL says where Redis is: redis://, rediss:// (TLS) or unix://, see Mode.
	URL string
	// Mode is Single unless set.
	Mode Mode
	// TLS overrides what rediss:// sets up.
	TLS *tls.Config
	// Budget is how long one decision may wait for Redis, 1 ms to 1 s.
	Budget time.Duration
	// Failures is how many calls in a row must fail for the breaker to open.
	Failures int
	// OnError is Local unless set.
	OnError OnError
	// Replicas, above 1, is how many gates share the rate while Redis is away:
	// each takes that part of it. 0 or 1: each takes all of it.
	Replicas int
	// Prefix begins every key.
	Prefix string
	// MaxKeys bounds the memory of this process, see limit.Options.
	MaxKeys int
	// Clock is time.Now unless set; it must carry a monotonic reading or never
	// be set back.
	Clock func() time.Time
	// Log, if not nil, hears when the breaker opens and closes.
	Log *slog.Logger
	// Registerer, if not nil, gets the metrics.
	Registerer prometheus.Registerer
	// MetricPrefix begins the metrics' names; "" means "pomerium_".
	MetricPrefix string
}

func (o *Options) check() error {
	if o.OnError == "" {
		o.OnError = Local
	}
	if o.Budget == 0 {
		o.Budget = DefaultBudget
	}
	if o.Failures == 0 {
		o.Failures = DefaultFailures
	}
	if o.Prefix == "" {
		o.Prefix = DefaultPrefix
	}
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	var errs []error
	if o.URL == "" {
		errs = append(errs, errors.New("the Redis URL is missing, e.g. redis://127.0.0.1:6379"))
	}
	if o.OnError != Local && o.OnError != Allow && o.OnError != Deny {
		errs = append(errs, fmt.Errorf("on_error %q is none of local, allow, deny", o.OnError))
	}
	if o.Budget < time.Millisecond || o.Budget > time.Second {
		errs = append(errs, fmt.Errorf("a budget of %v is not in 1ms..1s", o.Budget))
	}
	if o.Failures < 1 {
		errs = append(errs, fmt.Errorf("failures is %d, want at least 1", o.Failures))
	}
	if o.Replicas < 0 || o.Replicas > 1000 {
		errs = append(errs, fmt.Errorf("replicas is %d, want 0..1000", o.Replicas))
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("redislimit: %w", err)
	}
	return nil
}

func pick(o Options, t *tls.Config) *tls.Config {
	if o.TLS != nil {
		return o.TLS
	}
	return t
}

// redactURL takes the URL out of an error of the URL parser: it may hold a
// password.
func redactURL(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		return errors.New("it cannot be parsed; want redis://, rediss:// or unix://, special characters of a password percent-encoded")
	}
	return err
}
