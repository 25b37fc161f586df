// Package webhook is how the gate tells this program of demo grants: it checks
// the signature and the time of a message (Standard Webhooks: id, timestamp and
// body under HMAC-SHA256), reads what it says, strictly and within bounds, and
// answers in the few words that the gate understands.
//
// verify.go checks signatures, event.go reads bodies, handler.go answers.
package webhook
