// Package observe is how decisions are seen: the access log (one JSON object
// each), the metrics, and the handler with health, readiness, metrics and
// profiles for operators. Nothing in it may slow a decision down: what leaves
// the request path goes through a bounded buffer that drops and counts.
package observe
