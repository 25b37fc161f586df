// Package leash holds live streams (WebSockets, event streams, long downloads)
// and lets go of them when they may not live any longer. For each, Envoy's
// ext_proc filter holds a gRPC stream to this server open, on which nothing is
// said after the first message: as long as it stands, so does the client's, and
// an answer or an error on it cuts the client's. A leash that crashes lets go of
// all its streams; there is no state in which a stream lives without one.
//
// Whose a stream is says its ticket: what ext_authz decided, sealed by this
// program, passed from filter to filter in Envoy's dynamic metadata, which no
// client reaches, and bound to the request's id. It carries all that is needed
// to judge the request again, so that any gate behind an Envoy can hold a stream
// that another one allowed.
package leash
