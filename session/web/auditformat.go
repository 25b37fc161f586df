package web

import (
	"encoding/csv"
	"encoding/json"
	"errors"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// auditFormat is a form in which entries are given.
type auditFormat struct {
	name, mediaType string
	write           func(w http.ResponseWriter, list []AuditLog) error
}

// auditFormats are all forms; the first is for who does not care.
func auditFormats() []auditFormat {
	return []auditFormat{
		{"json", "application/json", func(w http.ResponseWriter, list []AuditLog) error { return json.NewEncoder(w).Encode(list) }},
		{"ndjson", "application/x-ndjson", writeNDJSON},
		{"csv", "text/csv", writeCSV},
	}
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
func writeNDJSON(w http.ResponseWriter, list []AuditLog) error {
	e := json.NewEncoder(w)
	for _, l := range list {
		if err := e.Encode(l); err != nil {
			return err
		}
	}
	return nil
}

// writeCSV gives a header and a line each (RFC 4180).
func writeCSV(w http.ResponseWriter, list []AuditLog) error {
	c := csv.NewWriter(w)
	c.UseCRLF = true
	rows := [][]string{{"id", "timestamp", "action", "resource", "success", "user_id", "user_email", "actor_id", "actor_email", "organization", "session_id", "client_ip", "user_agent", "request_id", "details", "hash"}}
	for _, l := range list {
		rows = append(rows, []string{
			l.ID, l.Timestamp.UTC().Format(time.RFC3339Nano), l.Action, l.Resource, strconv.FormatBool(l.Success), l.UserID, l.UserEmail, l.ActorID, l.ActorEmail,
			l.Organization, l.SessionID, l.ClientIP, l.UserAgent, l.RequestID, l.Details, l.Hash,
		})
	}
	for _, row := range rows {
		for i := range row {
			row[i] = cell(row[i])
		}
		if err := c.Write(row); err != nil {
			return err
		}
	}
	c.Flush()
	return c.Error()
}

// cell keeps spreadsheets from taking what a client sent, such as a user agent,
// for a formula.
func cell(s string) string {
	if s != "" && strings.ContainsRune("=+-@\t\r", rune(s[0])) {
		return "'" + s
	}
	return s
}
