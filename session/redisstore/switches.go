package redisstore

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/neosc/gate/session"
)

var _ session.SwitchStore = (*Store)(nil)

// newSwitchScript keeps a value if its version is the one after that which is
// there. KEYS: the hash of switches. ARGV: name, version, value as JSON.
func newSwitchScript() *redis.Script {
	return redis.NewScript(`
local had = redis.call('HGET', KEYS[1], ARGV[1])
local version = had and string.match(had, '^%d+') or '0'
if tonumber(version) + 1 ~= tonumber(ARGV[2]) then return 0 end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2] .. ' ' .. ARGV[3])
return 1`)
}

// maxSwitches is how many are read.
const maxSwitches = 1000

// keptSwitch is a value as Redis has it, after its version.
type keptSwitch struct {
	Value     *session.SwitchValue `json:"value"`
	ChangedAt int64                `json:"changed_at"` // µs
	ChangedBy string               `json:"changed_by"`
}

func (st *Store) switches() string { return st.names.prefix + "switches" }

// LoadSwitches implements session.SwitchStore.
func (st *Store) LoadSwitches(ctx context.Context) ([]session.StoredSwitch, error) {
	ctx, cancel, err := st.within(ctx, 0)
	if err != nil {
		return nil, err
	}
	defer cancel()
	all, err := st.c.HGetAll(ctx, st.switches()).Result()
	if err != nil {
		return nil, unavailable(err)
	}
	if len(all) > maxSwitches {
		return nil, unavailable(fmt.Errorf("%d switches, more than %d", len(all), maxSwitches))
	}
	out := make([]session.StoredSwitch, 0, len(all))
	for name, text := range all {
		x := session.StoredSwitch{Name: name}
		var kept keptSwitch
		version, body, _ := strings.Cut(text, " ")
		_, err := fmt.Sscanf(version, "%d", &x.Version)
		if err = errors.Join(err, json.Unmarshal([]byte(body), &kept)); err != nil {
			return nil, unavailable(fmt.Errorf("switch %.64q: %w", name, err))
		}
		x.Value, x.ChangedAt, x.ChangedBy = kept.Value, time.UnixMicro(kept.ChangedAt).UTC(), kept.ChangedBy
		out = append(out, x)
	}
	slices.SortFunc(out, func(a, b session.StoredSwitch) int { return strings.Compare(a.Name, b.Name) })
	return out, nil
}

// PutSwitch implements session.SwitchStore. Where there are replicas it waits
// for one: a failover must not forget what an administrator has closed.
func (st *Store) PutSwitch(ctx context.Context, x session.StoredSwitch) error {
	body, err := json.Marshal(keptSwitch{Value: x.Value, ChangedAt: x.ChangedAt.UnixMicro(), ChangedBy: x.ChangedBy})
	if err != nil {
		return err
	}
	kept := 0
	err = st.confirmed(ctx, func(ctx context.Context, c *redis.Conn) (err error) {
		kept, err = st.turn.Run(ctx, c, []string{st.switches()}, x.Name, x.Version, body).Int()
		return err
	})
	if err == nil && kept != 1 {
		return session.ErrSwitchChanged
	}
	return err
}
