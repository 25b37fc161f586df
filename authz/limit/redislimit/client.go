package redislimit

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

// Mode is how Redis is set up.
type Mode string

// Modes.
const (
	// Single is one server, or one name that leads to it.
	Single Mode = "single"
	// Sentinel follows the master that Sentinels name. The URL leads to them:
	// redis://user:password@host:26379/0?master_name=NAME&addr=host2:26379
	Sentinel Mode = "sentinel"
	// Cluster is Redis Cluster: redis://user:password@host:6379?addr=host2:6379
	Cluster Mode = "cluster"
)

// runner runs the script once, with arguments as batch.encode returns them, on
// the server of its keys, which share a tag unless there is one server. It never repeats a run that may have happened.
type runner interface {
	run(ctx context.Context, args []any) (string, error)
	Close() error
}

// connect reads the URL; it does not wait for the server. No error holds the
// URL: it may have a password in it.
func connect(o Options) (runner, error) {
	name := scriptName()
	bad := func(err error) error {
		return fmt.Errorf("redislimit: the Redis URL for mode %q: %w", o.Mode, redactURL(err))
	}
	switch o.Mode {
	case Single, "":
		ro, err := redis.ParseURL(o.URL)
		if err != nil {
			return nil, bad(err)
		}
		settle(&ro.MaxRetries, &ro.DialerRetries, &ro.DialTimeout, &ro.ReadTimeout, &ro.WriteTimeout)
		ro.ContextTimeoutEnabled, ro.DisableIdentity, ro.Protocol = true, true, 2
		ro.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
		ro.PoolSize, ro.PoolTimeout = singlePool, o.Budget
		ro.TLSConfig = pick(o, ro.TLSConfig)
		return single{redis.NewClient(ro), name}, nil
	case Sentinel:
		ro, err := redis.ParseFailoverURL(o.URL)
		if err != nil {
			return nil, bad(err)
		}
		if ro.MasterName == "" {
			return nil, bad(errors.New("it lacks master_name=NAME"))
		}
		settle(&ro.MaxRetries, &ro.DialerRetries, &ro.DialTimeout, &ro.ReadTimeout, &ro.WriteTimeout)
		ro.ContextTimeoutEnabled, ro.DisableIdentity, ro.Protocol = true, true, 2
		ro.PoolSize, ro.PoolTimeout = singlePool, o.Budget
		ro.TLSConfig = pick(o, ro.TLSConfig)
		return single{redis.NewFailoverClient(ro), name}, nil
	case Cluster:
		ro, err := redis.ParseClusterURL(o.URL)
		if err != nil {
			return nil, bad(err)
		}
		settle(&ro.MaxRetries, &ro.DialerRetries, &ro.DialTimeout, &ro.ReadTimeout, &ro.WriteTimeout)
		ro.ContextTimeoutEnabled, ro.DisableIdentity, ro.Protocol = true, true, 2
		ro.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
		// All tags may be under way to one node at once, and probed.
		ro.PoolSize, ro.PoolTimeout = tags+singlePool, o.Budget
		ro.TLSConfig = pick(o, ro.TLSConfig)
		return cluster{redis.NewClusterClient(ro), name}, nil
	default:
		return nil, fmt.Errorf("redislimit: mode %q is none of single, sentinel, cluster", o.Mode)
	}
}

// singlePool is one call, one probe and a spare while a connection that timed
// out is being replaced.
const singlePool = 4

// settle takes out everything that would repeat a charge. Contexts keep the
// budget; these timeouts only bound connecting, which a probe may take longer
// over.
func settle(retries, dials *int, dial, read, write *time.Duration) {
	*retries, *dials = -1, 1
	*dial, *read, *write = connectTime, connectTime, connectTime
}

type single struct {
	c    *redis.Client
	name string
}

func (s single) run(ctx context.Context, args []any) (string, error) {
	return eval(ctx, s.c, &s.name, args)
}

func (s single) Close() error { return s.c.Close() }

type cluster struct {
	c    *redis.ClusterClient
	name string
}

// run asks the node itself: the cluster client's own way repeats calls whose
// connection broke, whatever MaxRetries says, and so would charge twice.
func (s cluster) run(ctx context.Context, args []any) (string, error) {
	node, err := s.c.MasterForKey(ctx, *args[argFirst].(*string))
	if err != nil {
		return "", err
	}
	reply, err := eval(ctx, node, &s.name, args)
	if err != nil {
		// Moved, or the node is gone: learn where the slot is, for the next.
		s.c.ReloadState(ctx)
	}
	return reply, err
}

func (s cluster) Close() error { return s.c.Close() }

// eval runs the script by its name, and by its text if the server does not know
// it (it restarted, was flushed, or another took its place): then nothing has
// run yet.
func eval(ctx context.Context, c *redis.Client, name *string, args []any) (string, error) {
	args[argCommand], args[argScript] = "evalsha", name
	cmd := redis.NewCmd(ctx, args...)
	err := c.Process(ctx, cmd)
	if err != nil && redis.HasErrorPrefix(err, "NOSCRIPT") {
		args[argCommand], args[argScript] = "eval", script
		cmd = redis.NewCmd(ctx, args...)
		err = c.Process(ctx, cmd)
	}
	if err != nil {
		return "", err
	}
	return cmd.Text()
}
