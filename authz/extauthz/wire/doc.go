// Package wire reads Envoy's CheckRequest from its bytes and writes the
// CheckResponse as bytes, without the generated messages in between: those cost
// a third of a Check that does nothing else (some 100 allocations, a map and a
// struct for each header). Field numbers are those of
// envoy/service/auth/v3/external_auth.proto and attribute_context.proto.
//
// Scanner takes and refuses exactly what the generated code takes and refuses,
// and finds the same values: scalars and map keys that come again win, messages
// that come again merge, an arm of a oneof takes the others away, a field with
// another wire type than its own is unknown, a group must end where it began,
// and every text must be UTF-8, read or not. What Envoy rarely sends (metadata,
// pipes) is handed to the generated code itself. The tests compare the two on
// mutated messages, 200,000 in each run and ten million in make soak.
//
// scan.go walks the messages, peer.go the two ends of the connection, field.go
// takes fields apart; response.go writes.
package wire
