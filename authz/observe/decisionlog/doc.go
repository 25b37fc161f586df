// Package decisionlog keeps every decision as one record in the form of OPA's
// decision log (https://www.openpolicyagent.org/docs/management-decision-logs),
// with what the gate knows besides under "custom", and reads such records again.
//
// On the request's way a decision is only noted (observe.go, notes.go). Behind the
// answers one goroutine writes records of a few dozen at once into a bounded
// buffer, whole but for their secrets: encode.go and the encode_*.go beside it.
// Another (log.go) has the policy's own rules mask and drop records
// (Filter) and hands them to a file (file.go) or a server (http.go). Records
// are read by scan.go, record.go and the record_*.go beside it.
package decisionlog
