package web

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/neosc/gate/session"
)

const (
	// exportsAtOnce bounds how many files of the whole trail are written at once:
	// each keeps a reader of the database busy.
	exportsAtOnce = 2
	// exportStall is how long who fetches one may take no byte.
	exportStall = 30 * time.Second
)

// exportAuditLogs streams all that q selects, page by page, so that a trail of any
// length takes the room of a page. A file that cannot be brought to its end is torn
// off, so that nobody takes it for whole.
func (h *Handler) exportAuditLogs(w http.ResponseWriter, r *http.Request, q session.AuditQuery, format auditFormat) {
	select {
	case h.exports <- struct{}{}:
		defer func() { <-h.exports }()
	default:
		w.Header().Set("Retry-After", "10")
		h.problem(w, r, problem{Status: http.StatusTooManyRequests, Detail: "Others fetch the whole trail just now. Try again in a moment.", Reason: "busy"})
		return
	}
	first, before, err := h.exportPage(r.Context(), &q)
	if err != nil {
		h.apiTrouble(w, r, "reading the audit trail", err)
		return
	}
	format.head(w)
	out := http.NewResponseController(w)
	err = h.exportPages(r.Context(), w, out, q, format, first, before)
	if err == nil {
		return
	}
	if r.Context().Err() == nil {
		h.o.Logger.Error("a file of the audit trail is torn off", "error", err, "request_id", requestID(r))
	}
	panic(http.ErrAbortHandler) // the server's own way to say that a reply is not whole
}

func (h *Handler) exportPages(ctx context.Context, w http.ResponseWriter, out *http.ResponseController, q session.AuditQuery, format auditFormat, page []session.AuditEntry, before uint64) error {
	write, err := format.stream(w)
	for err == nil {
		if err = out.SetWriteDeadline(time.Now().Add(exportStall)); err != nil && !errors.Is(err, http.ErrNotSupported) {
			return err
		}
		if err = write(auditLogsOf(page)); err != nil || before == 0 {
			return err
		}
		q.Before = before
		page, before, err = h.exportPage(ctx, &q)
	}
	return err
}

// exportPage reads on until there is something to write, or nothing any more.
func (h *Handler) exportPage(ctx context.Context, q *session.AuditQuery) ([]session.AuditEntry, uint64, error) {
	for {
		found, err := h.o.AuditLog.Entries(ctx, *q)
		before, err := following(*q, found, err)
		if err != nil || before == 0 || len(found) > 0 {
			return found, before, err
		}
		q.Before = before
	}
}
