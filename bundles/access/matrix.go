package access

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/neosc/gate/authz"
)

func jsonSeconds(t time.Time) string { return strconv.FormatInt(t.Unix(), 10) }

// clockOf reads [hour, minute, second] of a policy's data.
func clockOf(v any) (time.Duration, bool) {
	list, ok := v.([]any)
	if !ok || len(list) != 3 {
		return 0, false
	}
	var out time.Duration
	for i, unit := range []time.Duration{time.Hour, time.Minute, time.Second} {
		n, err := strconv.Atoi(fmt.Sprint(number(list[i])))
		if err != nil || n < 0 || n > 60 {
			return 0, false
		}
		out += time.Duration(n) * unit
	}
	return out, true
}

func number(v any) any {
	if n, ok := v.(json.Number); ok {
		return n.String()
	}
	return v
}

// Cell is one combination.
type Cell struct {
	Route, Path, Who, Method string
	// Situation is what differs from the usual: a person at noon of a Wednesday,
	// signed in with a password, without a demo. "" is the usual one.
	Situation string
}

// Each calls f with every combination of the routes that are asked for, all if
// names is empty, from several goroutines at once; cells of one route and path
// come from one goroutine and in order. It ends early with ctx's error or f's.
func (u *Universe) Each(ctx context.Context, names []string, f func(Cell, *authz.Request) error) error {
	if len(names) == 0 {
		names = slices.Sorted(maps.Keys(u.Routes))
	}
	type work struct{ route, path string }
	var all []work
	for _, name := range names {
		if _, known := u.Routes[name]; !known {
			return fmt.Errorf("the policy and the routes file know no route %q; there are %v", name, slices.Sorted(maps.Keys(u.Routes)))
		}
		for _, path := range u.Paths[name] {
			all = append(all, work{name, path})
		}
	}
	situations, people := u.situations(), u.people()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var next atomic.Int64
	var workers sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		workers.Go(func() {
			for {
				i := int(next.Add(1)) - 1
				if i >= len(all) || ctx.Err() != nil {
					return
				}
				if err := u.one(ctx, all[i].route, all[i].path, people, situations, f); err != nil {
					cancel(err)
					return
				}
			}
		})
	}
	workers.Wait()
	return context.Cause(ctx)
}

func (u *Universe) one(ctx context.Context, name, path string, people []person, situations []situation, f func(Cell, *authz.Request) error) error {
	for i := range situations {
		s := &situations[i]
		route := s.route(name, u.Routes[name])
		for _, p := range people {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			who := s.session(p)
			for _, method := range u.Methods {
				if err := f(Cell{name, path, p.name, method, s.name}, s.request(route, who, method, path)); err != nil {
					return err
				}
			}
		}
	}
	return nil
}
