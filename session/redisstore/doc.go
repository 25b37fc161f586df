// Package redisstore keeps sessions in Redis, for gates that share them, and
// tells each gate what the others changed.
//
// Supported are Redis 6.2 and later as one server (redis://, rediss://,
// unix://) and behind Sentinels. All keys share one hash tag, so that a script
// may touch several of them; the client does not follow a Redis Cluster.
//
// What Redis keeps, below the prefix {gate:session}:
//
//	r:KEY    the record: a head line for the scripts, then session.EncodeRecord
//	ends     sorted set: every key by its idle end, µs since 1970
//	begun    sorted set: every key by its beginning, µs
//	u:HASH   sorted set: the keys of one user id by beginning
//	e:HASH   sorted set: the keys of one email, folded, by beginning
//	nb:HASH  instant (ms) before which a user's sessions do not begin any more
//	m:KEY    a mark, µs
//	n:KEY    a note: its end, a line feed, its data
//	barrier  written by each deletion, so that waiting for a replica means it
//
// The idle end is in the sorted set alone: sessions in use move it often, and
// that must not drop every gate's copies. A copy whose own idle end has come is
// read again before the session is taken to be over.
//
// Run Redis with maxmemory-policy noeviction: an evicted record is a sign-out.
// What Redis itself forgets, a revocation included, when it crashes is a matter
// of its appendfsync; what a failover forgets, of Options.ReplicaWait.
package redisstore
