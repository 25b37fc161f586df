package webhook

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Errors of a Step, matched with errors.Is. Any other means: try again.
var (
	// ErrPending: it is under way and not yet done.
	ErrPending = errors.New("under way")
	// ErrRefused: the same message will never be done.
	ErrRefused = errors.New("refused")
)

// RetryError wraps an error whose source said when to come back.
type RetryError struct {
	After time.Duration
	Err   error
}

// Error implements error.
func (e *RetryError) Error() string { return e.Err.Error() }

// Unwrap returns what it wraps.
func (e *RetryError) Unwrap() error { return e.Err }

// Step makes the things of a grant and takes them away. Safe for concurrent use;
// calls about one grant come one at a time. Each is idempotent and bounded by
// ctx. Its errors go to the gate's administrators and hold no secret.
type Step interface {
	// Start makes them, and is called until it returns nil.
	Start(ctx context.Context, g Grant) error
	// End takes away whatever there is, also when nothing was started.
	End(ctx context.Context, id string) error
	// Grants returns the ids of all grants of which there is something.
	Grants(ctx context.Context) ([]string, error)
}

// Ended remembers which grants were ended, over restarts and for longer than a
// message can be replayed. Safe for concurrent use.
type Ended interface {
	Mark(id string) error
	Has(id string) bool
}

// Options make a Handler.
type Options struct {
	Secrets Secrets
	// Steps by name, which is what a message's step says.
	Steps map[string]Step
	Ended Ended
	// Timeout bounds one message. It is below what the gate waits.
	Timeout time.Duration
	// Parallel is how many messages are dealt with at once; others get 503.
	Parallel   int
	Logger     *slog.Logger
	Registerer prometheus.Registerer
	Now        func() time.Time
}

const (
	mostBody = 64 << 10
	// mostGrants bounds a list's reply.
	mostGrants = 100_000
)

// Handler answers the gate.
type Handler struct {
	opt      Options
	slots    chan struct{}
	grants   locks
	messages *prometheus.CounterVec
	seconds  *prometheus.HistogramVec
}

// New returns a Handler.
func New(o Options) (*Handler, error) {
	h := &Handler{
		opt: o, slots: make(chan struct{}, o.Parallel),
		messages: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "provisioner_messages_total", Help: "Webhooks by type, step and reply."}, []string{"type", "step", "reply"}),
		seconds:  prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "provisioner_message_duration_seconds", Help: "How long a webhook took, by type and step.", Buckets: prometheus.ExponentialBuckets(0.005, 2, 13)}, []string{"type", "step"}),
	}
	// All that will be counted is there from the start: a counter that first appears
	// as 1 is none that has risen to whoever watches it.
	h.messages.WithLabelValues("", "", "refused")
	for step := range o.Steps {
		for _, kind := range []string{TypeStart, TypeEnd, TypeList} {
			for _, reply := range []string{"done", "pending", "refused", "failed"} {
				h.messages.WithLabelValues(kind, step, reply)
			}
		}
	}
	return h, errors.Join(o.Registerer.Register(h.messages), o.Registerer.Register(h.seconds))
}

// reply is what a message is answered with.
type reply struct {
	status int
	Status string   `json:"status"`
	Error  string   `json:"error,omitempty"`
	Grants []string `json:"grants,omitzero"`
	after  time.Duration
}

// ServeHTTP implements http.Handler.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	begun := h.opt.Now()
	e, rep := h.answer(w, r)
	kind, step := e.Type, e.Step
	if rep.status == http.StatusUnauthorized || h.opt.Steps[step] == nil || kind != TypeStart && kind != TypeEnd && kind != TypeList {
		kind, step = "", "" // a stranger's words are no labels
	}
	took := h.opt.Now().Sub(begun)
	h.messages.WithLabelValues(kind, step, rep.Status).Inc()
	if kind != "" {
		h.seconds.WithLabelValues(kind, step).Observe(took.Seconds())
	}
	level := slog.LevelInfo
	if rep.status >= 400 {
		level = slog.LevelWarn
	}
	h.opt.Logger.Log(r.Context(), level, "webhook", "type", kind, "step", step, "grant", logged(e.Grant.ID), "workspace_type", known(step, e.Grant.WorkspaceType), "status", rep.status, "reply", rep.Status, "error", rep.Error, "duration_ms", took.Milliseconds())
	if rep.after > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(int(rep.after.Round(time.Second)/time.Second)))
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(rep.status)
	_ = json.NewEncoder(w).Encode(rep)
}

// logged keeps what is no grant's id out of the log.
func logged(id string) string {
	if ValidID(id) {
		return id
	}
	return ""
}

func known(step, kind string) string {
	if step == "" || len(kind) > 64 {
		return ""
	}
	return kind
}

func refused(status int, err error) reply {
	return reply{status: status, Status: "refused", Error: err.Error()}
}

func (h *Handler) answer(w http.ResponseWriter, r *http.Request) (event, reply) {
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		return event{}, refused(http.StatusMethodNotAllowed, errors.New("want POST"))
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, mostBody))
	if _, big := errors.AsType[*http.MaxBytesError](err); big {
		return event{}, refused(http.StatusRequestEntityTooLarge, fmt.Errorf("the body has more than %d bytes", mostBody))
	}
	if err != nil {
		return event{}, refused(http.StatusBadRequest, errors.New("the body cannot be read"))
	}
	now := h.opt.Now()
	if err := h.opt.Secrets.Verify(r.Header, body, now); err != nil {
		h.opt.Logger.Warn("webhook not from the gate", "reason", err.Error())
		return event{}, refused(http.StatusUnauthorized, errors.New("the message is not signed, or not in time"))
	}
	e, err := decode(body, now)
	if err != nil {
		return e, refused(http.StatusUnprocessableEntity, err)
	}
	step := h.opt.Steps[e.Step]
	if step == nil {
		return e, refused(http.StatusUnprocessableEntity, fmt.Errorf("there is no step %.40q here; there are %s", e.Step, strings.Join(slices.Sorted(maps.Keys(h.opt.Steps)), ", ")))
	}
	select {
	case h.slots <- struct{}{}:
		defer func() { <-h.slots }()
	default:
		return e, later(&RetryError{time.Second, errors.New("there is too much to do")})
	}
	ctx, cancel := context.WithTimeout(r.Context(), h.opt.Timeout)
	defer cancel()
	if e.Type == TypeList {
		return e, list(ctx, step)
	}
	return e, h.move(ctx, step, e)
}

func list(ctx context.Context, step Step) reply {
	ids, err := step.Grants(ctx)
	if err != nil {
		return later(err)
	}
	slices.Sort(ids)
	ids = slices.Compact(ids)
	ids = append([]string{}, ids[:min(len(ids), mostGrants)]...)
	return reply{status: http.StatusOK, Status: "done", Grants: ids}
}

// move starts or ends. An end is noted before it waits for its turn, so that a
// start that is under way or yet to come makes nothing that stays.
func (h *Handler) move(ctx context.Context, step Step, e event) reply {
	id := e.Grant.ID
	if e.Type == TypeEnd {
		if err := h.opt.Ended.Mark(id); err != nil {
			return later(err)
		}
	}
	unlock, err := h.grants.lock(ctx, id)
	if err != nil {
		return later(fmt.Errorf("another message about %s is being dealt with", id))
	}
	defer unlock()
	switch {
	case e.Type == TypeEnd:
		err = step.End(ctx, id)
	case h.opt.Ended.Has(id):
		// A replay, or one that was overtaken.
		err = fmt.Errorf("%w: grant %s has ended", ErrRefused, id)
	default:
		err = step.Start(ctx, e.Grant)
	}
	switch {
	case err == nil:
		return reply{status: http.StatusOK, Status: "done"}
	case errors.Is(err, ErrPending):
		return reply{status: http.StatusAccepted, Status: "pending"}
	case errors.Is(err, ErrRefused):
		return refused(http.StatusUnprocessableEntity, err)
	}
	return later(err)
}

// later is the reply to what may be done another time.
func later(err error) reply {
	rep := reply{status: http.StatusServiceUnavailable, Status: "failed", Error: err.Error()}
	if r, ok := errors.AsType[*RetryError](err); ok {
		rep.after = r.After
	}
	return rep
}
