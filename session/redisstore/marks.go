package redisstore

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/neosc/gate/session"
)

// newMarkScript moves a mark on. KEYS: the mark, the barrier. ARGV: at (µs),
// life (ms), now (ms).
func newMarkScript() *redis.Script {
	return redis.NewScript(`
redis.call('SET', KEYS[2], ARGV[3])
local had = redis.call('GET', KEYS[1])
local ttl = redis.call('PTTL', KEYS[1])
local at, life = ARGV[1], tonumber(ARGV[2])
if had and tonumber(had) > tonumber(at) then at = had end
if ttl > life then life = ttl end
redis.call('SET', KEYS[1], at, 'PX', string.format('%.0f', life))
return 1`)
}

func (st *Store) markName(k session.Key) string { return st.names.marks + k.String() }

// SetMark implements session.Marks.
func (st *Store) SetMark(ctx context.Context, k session.Key, at, expires time.Time) error {
	now := st.o.Clock()
	life := max(time.Millisecond, expires.Sub(now)).Milliseconds()
	return st.confirmed(ctx, func(ctx context.Context, c *redis.Conn) error {
		return st.mark.Run(ctx, c, []string{st.markName(k), st.names.prefix + "barrier"}, at.UnixMicro(), life, now.UnixMilli()).Err()
	})
}

// GetMarks implements session.Marks.
func (st *Store) GetMarks(ctx context.Context, keys ...session.Key) ([]time.Time, error) {
	out := make([]time.Time, len(keys))
	err := st.readAll(ctx, st.markName, keys, func(i int, text string) error {
		at, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return unavailable(fmt.Errorf("mark %s: %w", keys[i].Short(), err))
		}
		out[i] = time.UnixMicro(at).UTC()
		return nil
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}
