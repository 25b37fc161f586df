package audit

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/neosc/gate/authz"
	"github.com/neosc/gate/session"
)

const (
	// decisionQueue is how many decisions wait to be written: at a kilobyte each
	// some 8 MB, and a second of a busy gate.
	decisionQueue = 8192
	// decisionBatch is how many share one call of Append.
	decisionBatch = 256
	// decisionRetry is how long a queue that must not lose anything waits after
	// a failure.
	decisionRetry = 200 * time.Millisecond
	// strangersAMinute is how many refusals of nobody are kept in a minute:
	// anybody can have them, without an account.
	strangersAMinute = 600
)

// ErrNotKept is wrapped by errors of Decisions.Keep.
var ErrNotKept = errors.New("the decision cannot be kept in the audit trail")

// DecisionsOptions set up Decisions. Trail is needed.
type DecisionsOptions struct {
	Trail session.Auditor
	// All keeps what was allowed too, not what was refused alone; ActionsOnly
	// neither, but for what Actions names.
	All, ActionsOnly bool
	// Actions says what an allowed request does and what more there is to tell, ""
	// for nothing in particular: such requests are always kept, under that name. nil
	// names none. It must be quick.
	Actions func(*authz.Request) (session.Action, map[string]string)
	// Required refuses what cannot be kept, instead of dropping and counting it.
	Required bool
	// Queue is how many may wait; 0 means 8192.
	Queue int
	// Logger is slog.Default() if nil.
	Logger *slog.Logger
	// Registerer takes the metrics; nil means none are shown.
	Registerer prometheus.Registerer
	// MetricPrefix is "pomerium_" if empty.
	MetricPrefix string
}

// Decisions keeps what was decided about requests. They are written behind the
// answers, through a bounded queue: a crash loses those that wait. Safe for
// concurrent use.
type Decisions struct {
	o       DecisionsOptions
	queue   chan session.Event
	failing atomic.Bool // the last batch was not written
	stop    chan struct{}
	once    sync.Once
	over    chan struct{}

	full, failed, strange prometheus.Counter

	mu     sync.Mutex
	minute int64
	taken  int
	left   int // refusals of nobody since the last that was kept
}

// NewDecisions starts the writer; Close ends it, before the trail.
func NewDecisions(o DecisionsOptions) (*Decisions, error) {
	if o.Trail == nil {
		return nil, errors.New("audit decisions: need Trail")
	}
	if o.Queue <= 0 {
		o.Queue = decisionQueue
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if o.MetricPrefix == "" {
		o.MetricPrefix = "pomerium_"
	}
	lost := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: o.MetricPrefix + "audit_decisions_dropped_total",
		Help: "Decisions that are not in the audit trail, by why: full (the queue was), failed (the trail could not be written), strangers (more than 600 refusals of nobody in a minute). With audit.required those that were allowed became refusals.",
	}, []string{"why"})
	if o.Registerer != nil {
		if err := o.Registerer.Register(lost); err != nil {
			return nil, fmt.Errorf("audit decisions: metrics: %w", err)
		}
	}
	d := &Decisions{
		o: o, queue: make(chan session.Event, o.Queue), stop: make(chan struct{}), over: make(chan struct{}),
		full: lost.WithLabelValues("full"), failed: lost.WithLabelValues("failed"), strange: lost.WithLabelValues("strangers"),
	}
	go d.run()
	return d, nil
}

// Close writes what waits, if that can be done at once, and returns; later
// decisions are not kept.
func (d *Decisions) Close() error {
	d.once.Do(func() { close(d.stop) })
	<-d.over
	return nil
}

// Keep queues the event of a decision. It never blocks and keeps nothing of r
// and o. An error, which wraps ErrNotKept, comes with Required alone.
func (d *Decisions) Keep(r *authz.Request, o *authz.Outcome) error {
	allowed := o.Verdict == authz.Allowed
	var action session.Action
	var more map[string]string
	if allowed && d.o.Actions != nil {
		action, more = d.o.Actions(r)
	}
	if action == "" && (d.o.ActionsOnly || allowed && !d.o.All) {
		return nil
	}
	left := 0
	if !allowed && r.Session == nil {
		var ok bool
		if ok, left = d.stranger(r.Time); !ok {
			d.strange.Inc()
			return nil
		}
	}
	if d.o.Required && d.failing.Load() {
		d.failed.Inc()
		return fmt.Errorf("%w: it cannot be written", ErrNotKept)
	}
	e := decisionEvent(r, o)
	if action != "" {
		e.Action = action
		delete(e.Details, "status") // the upstream's is not known yet
		maps.Copy(e.Details, more)
	}
	if left > 0 {
		e.Details["not_kept_before"] = strconv.Itoa(left)
	}
	select {
	case <-d.stop:
	default:
		select {
		case d.queue <- e:
			return nil
		default:
		}
	}
	d.full.Inc()
	if !d.o.Required {
		return nil
	}
	return fmt.Errorf("%w: %d others wait", ErrNotKept, d.o.Queue)
}

// stranger reports whether a refusal of nobody is kept, and how many before it
// were not.
func (d *Decisions) stranger(now time.Time) (ok bool, left int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if m := now.Unix() / 60; m != d.minute {
		d.minute, d.taken = m, 0
	}
	if d.taken >= strangersAMinute {
		d.left++
		return false, 0
	}
	d.taken++
	left, d.left = d.left, 0
	return true, left
}

// decisionEvent tells of a decision, with strings of its own. The query is left
// out: it may hold tokens.
func decisionEvent(r *authz.Request, o *authz.Outcome) session.Event {
	e := session.Event{Time: r.Time, Action: session.ActionRequestDenied, Outcome: session.OutcomeDenied}
	if o.Verdict == authz.Allowed {
		e.Action, e.Outcome = session.ActionRequestAllowed, session.OutcomeSuccess
	}
	if s := r.Session; s != nil {
		e.User = session.Person{ID: s.Identity.UserID, Email: s.Identity.Email}
		e.Actor, e.Organization = e.User, s.Identity.Organization
		if s.Key != (session.Key{}) {
			e.Session = s.Key.String()
		}
	}
	agent, _ := r.Headers.Get("user-agent")
	if r.Source.Addr.IsValid() {
		e.ClientIP = r.Source.Addr.Addr().String()
	}
	e.UserAgent, e.RequestID = cloned(agent), cloned(r.ID)
	path, _, _ := strings.Cut(r.Path, "?")
	e.Details = map[string]string{
		"method": cloned(r.Method), "host": cloned(r.Host), "path": cloned(path), "route": cloned(r.RouteName),
		"status": strconv.Itoa(o.Status), "reasons": strings.Join(o.Reasons, ","),
	}
	return e
}

// cloned copies no more of a text than an entry keeps, and a byte for the sign
// that it was longer.
func cloned(s string) string { return strings.Clone(s[:min(len(s), maxText+1)]) }

// run writes what is queued until Close.
func (d *Decisions) run() {
	defer close(d.over)
	for {
		select {
		case e := <-d.queue:
			d.write(d.more(e))
		case <-d.stop:
			for {
				select {
				case e := <-d.queue:
					d.write(d.more(e))
					continue
				default:
				}
				return
			}
		}
	}
}

// more takes what waits behind an event.
func (d *Decisions) more(first session.Event) []session.Event {
	events := []session.Event{first}
	for len(events) < decisionBatch {
		select {
		case e := <-d.queue:
			events = append(events, e)
			continue
		default:
		}
		break
	}
	return events
}

// write adds events to the trail. Where none may be lost it tries until it can,
// and meanwhile requests are refused.
func (d *Decisions) write(events []session.Event) {
	for {
		ctx, cancel := context.WithTimeout(context.Background(), writeTimeout)
		err := d.o.Trail.Append(ctx, events...)
		cancel()
		if was := d.failing.Swap(err != nil); was != (err != nil) {
			if err != nil {
				d.o.Logger.Error("decisions cannot be kept in the audit trail", "required", d.o.Required, "error", err)
			} else {
				d.o.Logger.Info("decisions are kept in the audit trail again")
			}
		}
		if err == nil {
			return
		}
		if !d.o.Required {
			break
		}
		retry := time.NewTimer(decisionRetry)
		select {
		case <-retry.C:
			continue
		case <-d.stop:
			retry.Stop()
		}
		break
	}
	d.failed.Add(float64(len(events)))
}
