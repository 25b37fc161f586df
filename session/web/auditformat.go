package web

import (
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/neosc/gate/session"
)

// auditFormat is a form in which entries are given.
type auditFormat struct {
	name, mediaType string
	write           func(w io.Writer, list []AuditLog) error
	// stream begins a file of which write gives a part; nil for a form that is one
	// whole. It returns what writes the next part.
	stream func(w io.Writer) (func(list []AuditLog) error, error)
}

// auditFormats are all forms; the first is for who does not care.
func auditFormats() []auditFormat {
	return []auditFormat{
		{"json", "application/json", func(w io.Writer, list []AuditLog) error { return json.NewEncoder(w).Encode(list) }, nil},
		{"ndjson", "application/x-ndjson", writeNDJSON, func(w io.Writer) (func([]AuditLog) error, error) {
			return func(list []AuditLog) error { return writeNDJSON(w, list) }, nil
		}},
		{"csv", "text/csv", writeCSV, streamCSV},
	}
}

// head sets the headers of a reply in this form.
func (f auditFormat) head(w http.ResponseWriter) {
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Header().Set("Vary", "Accept")
	w.Header().Set("Content-Type", f.mediaType)
	if f.name != "json" {
		w.Header().Set("Content-Disposition", `attachment; filename="audit-logs.`+f.name+`"`)
	}
}

// AuditFile begins a file of entries, "csv" or "ndjson", and returns what writes more
// of them into it.
func AuditFile(w io.Writer, form string) (func([]session.AuditEntry) error, error) {
	for _, f := range auditFormats() {
		if f.name == form && f.stream != nil {
			write, err := f.stream(w)
			return func(found []session.AuditEntry) error { return write(auditLogsOf(found)) }, err
		}
	}
	return nil, fmt.Errorf("a file of the audit trail is csv or ndjson, not %q", clipText(form))
}

// auditFormatOf is the form that a request asks for: by ?format=, else by the
// best of its Accept header (RFC 9110, 12.5.1).
func auditFormatOf(r *http.Request, asked string) (auditFormat, error) {
	all := auditFormats()
	if asked != "" {
		for _, f := range all {
			if f.name == asked {
				return f, nil
			}
		}
		return all[0], errors.New("the parameter format is json, ndjson or csv")
	}
	best, weight := all[0], 0.0
	for part := range strings.SplitSeq(strings.Join(r.Header.Values("Accept"), ","), ",") {
		mediaType, params, err := mime.ParseMediaType(part)
		if err != nil {
			continue
		}
		q := 1.0
		if text, ok := params["q"]; ok {
			if q, err = strconv.ParseFloat(text, 64); err != nil {
				continue
			}
		}
		for _, f := range all {
			if q > weight && (mediaType == f.mediaType || f.name == "ndjson" && mediaType == "application/ndjson") {
				best, weight = f, q
			}
		}
	}
	return best, nil
}

// writeNDJSON gives an object a line.
func writeNDJSON(w io.Writer, list []AuditLog) error {
	e := json.NewEncoder(w)
	for _, l := range list {
		if err := e.Encode(l); err != nil {
			return err
		}
	}
	return nil
}

// writeCSV gives a header and a line each (RFC 4180).
func writeCSV(w io.Writer, list []AuditLog) error {
	more, err := streamCSV(w)
	if err == nil {
		err = more(list)
	}
	return err
}

func streamCSV(w io.Writer) (func([]AuditLog) error, error) {
	c := csv.NewWriter(w)
	c.UseCRLF = true
	err := c.Write([]string{"id", "timestamp", "action", "resource", "success", "user_id", "user_email", "actor_id", "actor_email", "organization", "session_id", "client_ip", "user_agent", "request_id", "details", "hash"})
	return func(list []AuditLog) error {
		for _, l := range list {
			row := []string{
				l.ID, l.Timestamp.UTC().Format(time.RFC3339Nano), l.Action, l.Resource, strconv.FormatBool(l.Success), l.UserID, l.UserEmail, l.ActorID, l.ActorEmail,
				l.Organization, l.SessionID, l.ClientIP, l.UserAgent, l.RequestID, l.Details, l.Hash,
			}
			for i := range row {
				row[i] = cell(row[i])
			}
			if err := c.Write(row); err != nil {
				return err
			}
		}
		c.Flush()
		return c.Error()
	}, err
}

// cell keeps spreadsheets from taking what a client sent, such as a user agent,
// for a formula.
func cell(s string) string {
	if s != "" && strings.ContainsRune("=+-@\t\r", rune(s[0])) {
		return "'" + s
	}
	return s
}
