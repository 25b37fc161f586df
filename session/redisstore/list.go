package redisstore

import (
	"context"
	"errors"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/neosc/gate/session"
)

// listTimeout bounds a listing as a whole: filters that match little read many
// records.
const listTimeout = 5 * time.Second

// List implements session.Store.
func (st *Store) List(ctx context.Context, q session.Query) ([]*session.Session, error) {
	limit, err := q.Rows()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, listTimeout)
	defer cancel()
	p := pager{st: st, index: st.indexFor(q), from: "+inf"}
	if !q.Before.IsZero() {
		p.from = strconv.FormatInt(q.Before.UnixMicro(), 10)
	}
	var out []*session.Session
	for {
		page, more, err := p.next(ctx)
		if err != nil {
			return nil, err
		}
		for _, s := range page {
			if !matches(s, q) {
				continue
			}
			if out = append(out, s); len(out) == limit {
				return out, nil
			}
		}
		if !more {
			return out, nil
		}
	}
}

// indexFor returns the smallest sorted set that has all that q asks for.
func (st *Store) indexFor(q session.Query) string {
	switch {
	case q.UserID != "":
		return st.names.prefix + "u:" + hash(q.UserID)
	case q.Email != "":
		return st.names.prefix + "e:" + hash(foldEmail(q.Email))
	}
	return st.names.begun
}

func matches(s *session.Session, q session.Query) bool {
	return (q.UserID == "" || q.UserID == s.Identity.UserID) &&
		(q.Email == "" || foldEmail(q.Email) == foldEmail(s.Identity.Email)) &&
		(q.Now.IsZero() || s.LiveAt(q.Now)) &&
		(q.Before.IsZero() || s.CreatedAt.Before(q.Before))
}

// pager reads an index from new to old. It goes on from the last instant it
// saw and passes over those of that instant that it had: counting rows from
// the top would slip when sessions begin meanwhile.
type pager struct {
	st    *Store
	index string
	from  string // inclusive
	skip  int64
}

func (p *pager) next(ctx context.Context) (page []*session.Session, more bool, err error) {
	ctx, cancel, err := p.st.within(ctx, 0)
	if err != nil {
		return nil, false, err
	}
	defer cancel()
	keys, err := p.st.c.ZRevRangeByScoreWithScores(ctx, p.index, &redis.ZRangeBy{Max: p.from, Min: "-inf", Offset: p.skip, Count: batch}).Result()
	if err != nil {
		return nil, false, unavailable(err)
	}
	if len(keys) == 0 {
		return nil, false, nil
	}
	last := keys[len(keys)-1].Score
	from := strconv.FormatInt(int64(last), 10)
	if from != p.from {
		p.skip = 0
	}
	p.from = from
	for i := len(keys) - 1; i >= 0 && keys[i].Score == last; i-- {
		p.skip++
	}
	page, err = p.st.read(ctx, keys)
	return page, len(keys) == batch, err
}

// read returns the records that are still there.
func (st *Store) read(ctx context.Context, keys []redis.Z) ([]*session.Session, error) {
	pipe := st.c.Pipeline()
	records := make([]*redis.StringCmd, len(keys))
	idles := make([]*redis.FloatCmd, len(keys))
	for i, z := range keys {
		name, _ := z.Member.(string)
		records[i], idles[i] = pipe.Get(ctx, st.names.records+name), pipe.ZScore(ctx, st.names.ends, name)
	}
	if _, err := pipe.Exec(ctx); err != nil && !errors.Is(err, redis.Nil) {
		return nil, unavailable(err)
	}
	var out []*session.Session
	for i, z := range keys {
		gone, err := isGone(records[i].Err(), idles[i].Err())
		if err != nil {
			return nil, unavailable(err)
		}
		if gone {
			continue
		}
		name, _ := z.Member.(string)
		k, err := session.ParseKey(name)
		if err != nil {
			return nil, unavailable(err)
		}
		s, err := decode(k, []byte(records[i].Val()), idles[i].Val())
		if err != nil {
			return nil, err
		}
		out = append(out, s)
	}
	return out, nil
}

// isGone reports whether one of two reads found nothing, unless one failed.
func isGone(a, b error) (bool, error) {
	for _, err := range []error{a, b} {
		if err != nil && !errors.Is(err, redis.Nil) {
			return false, err
		}
	}
	return a != nil || b != nil, nil
}
