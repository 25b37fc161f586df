package redisstore

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/neosc/gate/session"
)

// batch is how many records one script call removes or one page reads: some
// milliseconds of the server's time.
const batch = 500

// Delete implements session.Store. Other gates are told by the feed.
func (st *Store) Delete(ctx context.Context, k session.Key) error {
	return st.confirmed(ctx, func(ctx context.Context, c *redis.Conn) error {
		return st.script.remove.Run(ctx, c, []string{st.names.ends}, st.names.prefix, k.String(), st.o.Clock().UnixMilli()).Err()
	})
}

// DeleteUser implements session.Store.
func (st *Store) DeleteUser(ctx context.Context, userID string) ([]session.Key, error) {
	var keys []session.Key
	user, now := hash(userID), st.o.Clock().UnixMilli()
	for {
		var listed int64
		err := st.confirmed(ctx, func(ctx context.Context, c *redis.Conn) error {
			reply, err := st.script.removeUser.Run(ctx, c, []string{st.names.ends}, st.names.prefix, user, now, markLife.Milliseconds(), batch).Slice()
			if err != nil {
				return err
			}
			listed, keys, err = removed(reply, keys)
			return err
		})
		if err != nil {
			return nil, err
		}
		if listed < batch {
			return keys, nil
		}
	}
}

// removed reads the reply of removeUser: how many keys were listed, and those
// of them that had a record.
func removed(reply []any, keys []session.Key) (int64, []session.Key, error) {
	if len(reply) != 2 {
		return 0, nil, fmt.Errorf("a reply of %d parts, want 2", len(reply))
	}
	listed, ok := reply[0].(int64)
	gone, ok2 := reply[1].([]any)
	if !ok || !ok2 {
		return 0, nil, errors.New("a reply of other types than it should have")
	}
	for _, g := range gone {
		name, _ := g.(string)
		k, err := session.ParseKey(name)
		if err != nil {
			return 0, nil, err
		}
		keys = append(keys, k)
	}
	return listed, keys, nil
}

// confirmed runs a deletion and waits until one replica has it, if there are
// replicas: both on one connection, because WAIT is about its own writes.
func (st *Store) confirmed(ctx context.Context, remove func(context.Context, *redis.Conn) error) error {
	ctx, cancel, err := st.within(ctx, max(0, st.o.ReplicaWait))
	if err != nil {
		return err
	}
	defer cancel()
	c := st.c.Conn()
	defer func() { _ = c.Close() }()
	if err := remove(ctx, c); err != nil {
		return unavailable(err)
	}
	if st.o.ReplicaWait < 0 || !hasReplica(ctx, c) {
		return nil
	}
	n, err := c.Wait(ctx, 1, st.o.ReplicaWait).Result()
	switch {
	case err != nil:
		return unavailable(err)
	case n < 1:
		return unavailable(fmt.Errorf("deleted, but no replica has confirmed that within %v", st.o.ReplicaWait))
	}
	return nil
}

// hasReplica asks whether the server has replicas. One that does not say (INFO
// may be forbidden) is taken to have none.
func hasReplica(ctx context.Context, c *redis.Conn) bool {
	info, err := c.Info(ctx, "replication").Result()
	if err != nil {
		return false
	}
	for line := range strings.Lines(info) {
		if v, ok := strings.CutPrefix(strings.TrimSpace(line), "connected_slaves:"); ok {
			n, err := strconv.Atoi(v)
			return err == nil && n > 0
		}
	}
	return false
}

// Sweep implements session.Store.
func (st *Store) Sweep(ctx context.Context, now time.Time, ended func([]*session.Session)) (int, error) {
	total := 0
	for {
		n, gone, err := st.sweep(ctx, now, ended != nil)
		if len(gone) > 0 {
			ended(gone)
		}
		total += n
		if err != nil || n < batch {
			return total, err
		}
	}
}

// sweep removes some records, and returns those that were there to be read.
func (st *Store) sweep(ctx context.Context, now time.Time, told bool) (n int, gone []*session.Session, err error) {
	ctx, cancel, err := st.within(ctx, 0)
	if err != nil {
		return 0, nil, err
	}
	defer cancel()
	reply, err := st.script.sweep.Run(ctx, st.c, []string{st.names.ends}, st.names.prefix, now.UnixMicro(), batch, told).Slice()
	if err != nil {
		return 0, nil, unavailable(err)
	}
	if len(reply) != 2 {
		return 0, nil, unavailable(fmt.Errorf("a reply of %d parts, want 2", len(reply)))
	}
	keys, _ := reply[0].([]any)
	records, _ := reply[1].([]any)
	for i := range min(len(keys), len(records)) {
		name, _ := keys[i].(string)
		value, _ := records[i].(string)
		k, err := session.ParseKey(name)
		if err != nil || value == "" {
			continue // Redis let go of it before
		}
		if s, err := decode(k, []byte(value), 0); err == nil {
			gone = append(gone, s)
		}
	}
	return len(keys), gone, nil
}

// CountLive implements session.Store.
func (st *Store) CountLive(ctx context.Context, now time.Time) (int, error) {
	ctx, cancel, err := st.within(ctx, 0)
	if err != nil {
		return 0, err
	}
	defer cancel()
	n, err := st.c.ZCount(ctx, st.names.ends, "("+strconv.FormatInt(now.UnixMicro(), 10), "+inf").Result()
	if err != nil {
		return 0, unavailable(err)
	}
	return int(n), nil
}

// ClockSkew returns how far the server's clock is ahead of this process's, to
// within half the time that asking took. Gates that differ much disagree on
// which sessions are over.
func (st *Store) ClockSkew(ctx context.Context) (time.Duration, error) {
	ctx, cancel, err := st.within(ctx, 0)
	if err != nil {
		return 0, err
	}
	defer cancel()
	before := st.o.Clock()
	theirs, err := st.c.Time(ctx).Result()
	if err != nil {
		return 0, unavailable(err)
	}
	took := st.o.Clock().Sub(before)
	return theirs.Sub(before.Add(took / 2)), nil
}
