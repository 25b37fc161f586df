// Package webhook is a step of demo grants that another program makes: the gate
// asks for it with signed webhooks in the form of Standard Webhooks
// (standardwebhooks.com, version 1), and holds neither a container engine's
// socket nor a network's keys itself.
//
// Every call is one POST of JSON:
//
//	{"type":"demo.start","step":"container","grant":{"id":"demo-1772705730-3f2a","user_id":"u-7","email":"ana@example.com",
//	 "organization":"o-1","workspace_type":"desktop","role":"demo-user-12345","started_at":"…","expires_at":"…"}}
//
// The types are demo.start, demo.end and demo.list, which has no grant. Times
// are RFC 3339 in UTC; what a grant lacks is left out: one whose things were
// found without it has no more than its id. webhook-id is the idempotency key,
// the same at each try of a phase of a grant; webhook-timestamp is that of the
// try, so that a receiver can refuse old ones; webhook-signature has a "v1,…"
// for each secret of the file, so that secrets are changed without a gap: the
// new one is added, the receiver is given it, the old one is taken away.
//
// Replies: 200 {"status":"done"}; 202 {"status":"pending"}, which is asked
// again for as long as the call may last;
// demo.list: 200 {"grants":["demo-…"]}. 408, 409, 425, 429 and 5xx are tried
// again, after Retry-After at the least; any other 4xx is for good.
package webhook
