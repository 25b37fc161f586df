// Package streams shows through a real Envoy that live streams (WebSockets over
// HTTP/1.1 and HTTP/2, event streams, long downloads) end when they must: at
// their instant, with their session, with a policy that denies them, and with
// the gate that held them.
package streams
