package main

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

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

// recordText is a record as stores that keep it elsewhere get it.
const recordText = `{"kind":"browser","identity":{"provider":"zitadel_cloud","issuer":"https://id.kappa4.com","subject":"%[1]d","user_id":"%[1]d",` +
	`"email":%[2]q,"email_verified":true,"name":"Person Number %[3]d","organization":"280000000000000001","roles":["user"],"claims":%[4]s,` +
	`"amr":["pwd"],"authenticated_at":%[5]q},"idp_session":"V1_%018[3]d","created_at":%[5]q,"expires_at":%[6]q,"idle_expires_at":%[6]q,"version":1}`

// generated is a store that holds nothing and makes each record up from its
// key: what the process gains in weight is the manager's.
type generated struct {
	session.Store
	now time.Time
}

func (g generated) Get(_ context.Context, k session.Key) (*session.Session, error) {
	n := int(binary.LittleEndian.Uint32(k[:]))
	claims, err := json.Marshal(manyClaims(n))
	if err != nil {
		return nil, err
	}
	return session.DecodeRecord(k, fmt.Appendf(nil, recordText, 300_000_000_000_000_000+n, email(n), n, claims,
		g.now.Format(time.RFC3339), g.now.Add(8*time.Hour).Format(time.RFC3339)))
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
	before, err := resident()
	if err != nil {
		return err
	}
	values, err := fillMillion(ctx, m, sealer, now)
	if err != nil {
		return err
	}
	after, err := resident()
	if err != nil {
		return err
	}
	r.figure("resident_per_session", float64(after-before)/million, "bytes", 1024)
	return lookupAmongMillion(ctx, r, m, values, now)
}

// fillMillion makes cookies and looks each up once, on all cores, and returns a
// sample of them.
func fillMillion(ctx context.Context, m *session.Manager, sealer session.Sealer, now time.Time) ([][]string, error) {
	const every = 256
	values := make([][]string, million/every)
	var g errgroup.Group
	workers := runtime.GOMAXPROCS(0)
	for w := range workers {
		g.Go(func() error {
			for i := w; i < million; i += workers {
				value, err := sealer.Seal(session.CookiePayload{ID: session.NewID(), Secret: session.NewSecret(), ExpiresAt: now.Add(8 * time.Hour)})
				if err != nil {
					return err
				}
				if _, err := m.ByCookies(ctx, []string{value}, now); err != nil {
					return err
				}
				if i%every == 0 && i/every < len(values) {
					values[i/every] = []string{value}
				}
			}
			return nil
		})
	}
	return values, g.Wait()
}

// lookupAmongMillion times lookups of sessions that no core has in its cache,
// the first of each and the second.
func lookupAmongMillion(ctx context.Context, r *report, m *session.Manager, values [][]string, now time.Time) error {
	rand.Shuffle(len(values), func(i, j int) { values[i], values[j] = values[j], values[i] })
	for _, name := range []string{"lookup_cold_among_million", "lookup_warm_among_million"} {
		before, err := ownCPU()
		if err != nil {
			return err
		}
		for _, v := range values {
			if _, err := m.ByCookies(ctx, v, now); err != nil {
				return err
			}
		}
		after, err := ownCPU()
		if err != nil {
			return err
		}
		r.figure(name, float64((after-before).Nanoseconds())/float64(len(values)), "ns", 0)
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
