// Package decisionlog keeps every decision as one record in the form of OPA's
// decision log (https://www.openpolicyagent.org/docs/management-decision-logs),
// with what the gate knows besides under "custom", and reads such records again.
//
// A record is written on the request's way into a bounded buffer, whole but for
// its secrets: encode.go and the encode_*.go beside it. Behind the answers one
// goroutine (log.go) has the policy's own rules mask and drop records
// (filter.go) and hands them to a file (file.go) or a server (http.go). Records
// are read by scan.go, record.go and the record_*.go beside it.
package decisionlog
