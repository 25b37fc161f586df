package main

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"github.com/neosc/gate/session"
)

const million = 1_000_000

// manyClaims are the twelve claims of an identity provider's token, most of
// them different for each user.
func manyClaims(n int) map[string]any {
	return map[string]any{
		"iss": "https://id.kappa4.com", "sub": strconv.Itoa(300_000_000_000_000_000 + n), "aud": []string{"290000000000000001@gate"},
		"email": email(n), "email_verified": true, "name": fmt.Sprintf("Person Number %d", n), "preferred_username": fmt.Sprintf("person%d", n),
		"locale": "es-MX", "auth_time": json.Number(strconv.Itoa(1_772_700_000 + n)), "sid": fmt.Sprintf("V1_%018d", n),
		"urn:zitadel:iam:user:resourceowner:id": "280000000000000001",
		"urn:zitadel:iam:org:project:roles":     map[string]any{"user": map[string]any{"280000000000000001": "kappa4.com"}},
	}
}

// generated is a store that holds nothing and makes each record up from its
// key, encoded and decoded as a store does that keeps it elsewhere: what the
// process gains in weight is the manager's.
type generated struct {
	session.Store
	now time.Time
}

func (g generated) Get(_ context.Context, k session.Key) (*session.Session, error) {
	n := int(binary.LittleEndian.Uint32(k[:]))
	s := &session.Session{
		Key: k, Kind: session.Browser, IdPSession: fmt.Sprintf("V1_%018d", n),
		Identity: session.Identity{
			Provider: "zitadel_cloud", Issuer: "https://id.kappa4.com", Subject: strconv.Itoa(300_000_000_000_000_000 + n),
			UserID: strconv.Itoa(300_000_000_000_000_000 + n), Email: email(n), EmailVerified: true, Name: fmt.Sprintf("Person Number %d", n),
			Organization: "280000000000000001", Roles: []string{"user"}, AMR: []string{"pwd"}, AuthenticatedAt: g.now, Claims: manyClaims(n),
		},
		CreatedAt: g.now, ExpiresAt: g.now.Add(8 * time.Hour), IdleExpiresAt: g.now.Add(8 * time.Hour), Version: 1,
	}
	b, err := session.EncodeRecord(s)
	if err != nil {
		return nil, err
	}
	return session.DecodeRecord(k, b)
}

// measureMillion fills a manager with a million live sessions and takes what
// the process weighs more, by the kernel's count, after garbage is collected.
func measureMillion(ctx context.Context, r *report) error {
	sealer, err := newSealer()
	if err != nil {
		return err
	}
	now := time.Now().UTC().Truncate(time.Second)
	m, err := session.NewManager(session.Options{Store: generated{now: now}, Sealer: sealer, CacheSize: million + million/10})
	if err != nil {
		return err
	}
	defer m.Close()
	const sampled = 4096
	values := make([][]string, 0, sampled)
	before, err := resident()
	if err != nil {
		return err
	}
	for i := range million {
		value, err := sealer.Seal(session.CookiePayload{ID: session.NewID(), Secret: session.NewSecret(), ExpiresAt: now.Add(8 * time.Hour)})
		if err != nil {
			return err
		}
		one := []string{value}
		if _, err := m.ByCookies(ctx, one, now); err != nil {
			return err
		}
		if i%(million/sampled) == 0 && len(values) < sampled {
			values = append(values, one)
		}
	}
	after, err := resident()
	if err != nil {
		return err
	}
	r.figure("resident_per_session", float64(after-before)/million, "bytes", 1024)
	return lookupAmongMillion(ctx, r, m, values, now)
}

// lookupAmongMillion times lookups of sessions that no core has in its cache,
// the first of each and the second.
func lookupAmongMillion(ctx context.Context, r *report, m *session.Manager, values [][]string, now time.Time) error {
	rand.Shuffle(len(values), func(i, j int) { values[i], values[j] = values[j], values[i] })
	for _, name := range []string{"lookup_cold_among_million", "lookup_warm_among_million"} {
		began := time.Now()
		for _, v := range values {
			if _, err := m.ByCookies(ctx, v, now); err != nil {
				return err
			}
		}
		r.figure(name, float64(time.Since(began).Nanoseconds())/float64(len(values)), "ns", 0)
	}
	return nil
}

// resident returns the bytes of this process in memory, once what is garbage
// has been given back.
func resident() (int64, error) {
	debug.FreeOSMemory()
	b, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0, err
	}
	fields := strings.Fields(string(b))
	if len(fields) < 2 {
		return 0, fmt.Errorf("/proc/self/statm says %q", b)
	}
	pages, err := strconv.ParseInt(fields[1], 10, 64)
	return pages * int64(os.Getpagesize()), err
}
