package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/fsnotify/fsnotify"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/neosc/gate/authz/observe"
	"github.com/neosc/gate/authz/route"
	"github.com/neosc/gate/envoy"
)

const (
	// routesGrace is how long requests that Envoy matched by the routes before a
	// change are judged by those.
	routesGrace = 30 * time.Second
	// routesSettle lets an editor finish writing before the file is read.
	routesSettle = 20 * time.Millisecond
	// routesEmpty is how long a file that is empty, or never still, is waited for.
	routesEmpty = 5 * time.Second
	// edgeWait bounds the wait for Envoy to take a change.
	edgeWait = 10 * time.Second
)

// routesReload puts changes of the routes file in use while requests go on:
// here and, where it watches files, in Envoy. What is refused changes nothing.
type routesReload struct {
	a     *app
	edge  delivery   // nil: Envoy has its routes from its bootstrap
	ads   *envoy.ADS // nil but where it is edge
	total *prometheus.CounterVec
	last  prometheus.Gauge

	work  sync.Mutex // one change at a time
	mu    sync.Mutex
	amiss error
	stale error
	old   *time.Timer
}

// delivery brings routes to a running Envoy, or says that it has not.
type delivery interface {
	Apply(context.Context, *route.File) error
}

// openReload gets ready to change routes and brings Envoy's files up to date.
func (a *app) openReload() error {
	r := &routesReload{a: a}
	prefix := a.cfg.Metrics.Prefix
	r.total = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: prefix + "routes_reload_total", Help: "Changes of the routes file, by what became of them: applied, refused by the gate, refused_by_envoy.",
	}, []string{"outcome"})
	r.last = prometheus.NewGauge(prometheus.GaugeOpts{
		Name: prefix + "routes_reload_last_success_timestamp_seconds", Help: "When the routes in use were taken.",
	})
	a.registry.MustRegister(r.total, r.last)
	for _, outcome := range []string{"applied", "refused", "refused_by_envoy"} {
		r.total.WithLabelValues(outcome)
	}
	r.last.SetToCurrentTime()
	a.reload = r
	a.health.Add("routes", func(context.Context) error { return observe.Degraded(r.problem()) })
	if a.cfg.Envoy.Files == "" && !a.cfg.Discovery() {
		return nil
	}
	o, err := envoyOptions(a.cfg, a.routes)
	if err != nil {
		return err
	}
	if o.Discovers() {
		return r.openADS(o)
	}
	files, err := envoy.NewFiles(o, envoy.NewAdmin(o.AdminSocket))
	if err != nil {
		return err
	}
	r.edge = files
	r.stale, err = files.Resume()
	if r.stale != nil {
		a.log.Warn("Envoy's listener is not that of the routes file", "error", r.stale)
	}
	return err
}

func (r *routesReload) problem() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.amiss != nil {
		return r.amiss
	}
	if r.ads != nil {
		return r.ads.Problem()
	}
	return r.stale
}

// reload reads the routes file and puts it in use if it is another and good.
func (r *routesReload) reload(ctx context.Context) {
	r.work.Lock()
	defer r.work.Unlock()
	defer r.a.procs.Busy()() // ten thousand routes are half a second of work
	outcome, err := r.change(ctx)
	r.mu.Lock()
	before := r.amiss
	r.amiss = err
	r.mu.Unlock()
	switch {
	case err == nil && outcome == "":
		return // the file is as it was
	case err == nil:
		r.last.SetToCurrentTime()
		r.a.log.Info("routes changed", "revision", r.a.live.File().Revision(), "routes", len(r.a.live.File().RouteNames()))
	case before != nil && before.Error() == err.Error():
		return // said before
	default:
		r.a.log.Error("routes refused, the ones before go on", "outcome", outcome, "error", err)
	}
	r.total.WithLabelValues(outcome).Inc()
}

func (r *routesReload) change(ctx context.Context) (outcome string, err error) {
	next, err := loadRoutes(r.a.cfg)
	if err != nil {
		return "refused", err
	}
	now := r.a.live.File()
	if next.Revision() == now.Revision() {
		return "", nil
	}
	if keys := now.NeedsRestart(next); len(keys) > 0 {
		return "refused", fmt.Errorf("%s: %s cannot change while requests go on: render Envoy's configuration anew, restart gate and Envoy with it, or change it back", r.a.cfg.Routes, strings.Join(keys, ", "))
	}
	// From here both are judged, each request by the file that matched it.
	r.use(next)
	if r.edge != nil {
		limit, cancel := context.WithTimeout(ctx, edgeWait)
		defer cancel()
		if err := r.edge.Apply(limit, next); err != nil {
			r.use(now)
			return "refused_by_envoy", r.explained(ctx, err, next)
		}
	}
	return "applied", nil
}

// use puts f in use and forgets those before it in a while.
func (r *routesReload) use(f *route.File) {
	if err := r.a.pages.SetFormTargets(r.a.formTargetsOf(f)); err != nil {
		r.a.log.Error("browsers may not follow a sign-in to new hosts", "error", err)
	}
	r.a.metrics.SetRoutes(f.RouteNames())
	r.a.live.Swap(f)
	if r.old != nil {
		r.old.Stop()
	}
	r.old = time.AfterFunc(routesGrace, r.a.live.Retire)
}

// watchRoutes reloads whenever the routes file may have changed.
func (a *app) watchRoutes(ctx context.Context) error {
	if err := a.openReload(); err != nil {
		return err
	}
	a.teardown.Go(ctx, "routes file", edgeWait, a.reload.watch)
	return nil
}

// watch follows the file's folder, since editors and mounts replace the file,
// and looks by itself now and then: some mounts tell nobody.
func (r *routesReload) watch(ctx context.Context) {
	var events chan fsnotify.Event
	w, err := fsnotify.NewWatcher()
	if err == nil {
		defer w.Close()
		err = w.Add(filepath.Dir(r.a.cfg.Routes))
		events = w.Events
	}
	if err != nil {
		r.a.log.Warn("the routes file is looked at every ten seconds only", "error", err)
	}
	tick := time.NewTicker(keyInterval)
	defer tick.Stop()
	seen := &keyWatch{files: []string{r.a.cfg.Routes}}
	// The first round takes what changed between the start and the watch.
	for more := true; more; more = r.maybeChanged(ctx, events, tick.C) {
		if seen.changed() {
			r.reload(ctx)
		}
	}
}

// maybeChanged waits until the file may have changed, and is still again; false
// means that ctx has ended.
func (r *routesReload) maybeChanged(ctx context.Context, events <-chan fsnotify.Event, tick <-chan time.Time) bool {
	for {
		select {
		case <-ctx.Done():
			return false
		case e := <-events:
			if ofAnother(e, r.a.cfg.Routes) {
				continue
			}
			settle(ctx, r.a.cfg.Routes)
			return true
		case <-tick:
			return true
		}
	}
}

// ofAnother says that an event in file's folder is a write to another file, which
// file is no name of: a log there is written twenty times a second.
func ofAnother(e fsnotify.Event, file string) bool {
	if e.Op != fsnotify.Write || filepath.Base(e.Name) == filepath.Base(file) {
		return false
	}
	st, err := os.Lstat(file)
	return err == nil && st.Mode()&os.ModeSymlink == 0
}

// settle returns once file was still for routesSettle. An empty one is about to
// be written: editors and shells cut a file to nothing first, and a busy machine
// may let seconds pass before the text. It is given routesEmpty.
func settle(ctx context.Context, file string) {
	seen := &keyWatch{files: []string{file}}
	seen.changed()
	for latest := time.Now().Add(routesEmpty); time.Now().Before(latest); {
		select {
		case <-ctx.Done():
			return
		case <-time.After(routesSettle):
		}
		if st, err := os.Stat(file); !seen.changed() && (err != nil || st.Size() > 0) {
			return
		}
	}
}
