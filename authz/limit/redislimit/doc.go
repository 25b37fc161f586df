// Package redislimit is the rate limiter that replicas share through Redis.
//
// # What it promises
//
// GCRA, exactly as in package limit, in the time of the Redis server: while
// Redis answers, all replicas together admit at most burst + rate·t tokens of a
// bucket in any window of length t, and every token that is there.
//
// Checks that arrive while a call is in flight share the next one; there is no
// timer in that path. One script call judges them all, each request all or
// nothing, and reads and writes each bucket once.
//
// Each replica remembers what Redis last said of a bucket, always as the
// earliest state that fits. That memory refuses what Redis would refuse anyway,
// without asking; it takes over, at the same rate, when Redis is slow or away;
// and it outlives a Redis that lost its data. Hence, whatever happens to Redis
// (stopped, paused, flushed, failed over without its last writes),
//
//   - one replica never admits more than burst + rate·(t + Budget) tokens of a
//     bucket in any window of length t,
//   - so n replicas never admit more than n times that, and with
//     Options.Replicas = n, while every one of them is without Redis, they admit
//     rate once between them (plus what was left of the buckets).
//
// A failover to a server whose clock is s ahead admits up to rate·s more across
// replicas, once; one whose clock is behind admits less for that long.
//
// No decision waits longer than Options.Budget for Redis. A charge that was
// sent and not answered in time counts as spent there and is never sent again:
// the answer is then given by Options.OnError. After Options.Failures calls in
// a row have failed, a breaker lets requests pass Redis by, and probes with a
// call of its own until one is answered within the budget.
//
// # Redis
//
// Redis 5 or later, or a server that speaks its scripts (TIME, HMGET, HGET,
// HSET, EXPIRE, UNLINK and the Lua libraries cmsgpack and struct). An ACL user
// needs +eval +evalsha +time +hmget +hget +hset +expire +unlink, in a cluster
// +cluster|slots, and the keys of Prefix.
//
// # Redis Cluster
//
// Keys carry one of 64 hash tags, here by hash of the charge's Key, so the
// buckets of one principal lie together. A call goes to one tag. A request whose charges
// lie under several takes them one tag after the other, that of its first
// charge last, and gives back what it took when a later one refuses: less what
// has trickled back since, so giving back never makes room that was not there.
// Where Redis is one server (or one with replicas and Sentinel), one call takes
// them all.
//
// # Keys in Redis
//
// The buckets of one limit are a table of two hashes,
//
//	prefix{tag}interval:burst:name:half
//
// with the interval in nanoseconds; where Redis is one server the tag is 00. A
// field is a dot and the charge's Key; its value is the bucket's theoretical
// arrival time, 4 bytes of Unix seconds and 4 of nanoseconds, big-endian (until
// the year 2106). So a call reads and writes all buckets of a limit with three
// commands; as keys of their own they would need one each, and cost Redis twice
// as much.
//
// The halves take turns: each is written to for a span, the time that a bucket
// takes to fill (10 s at least), and read for one more; then every bucket in it
// is full, and it is dropped (in the background) when its turn comes again. The
// field g is the number of its turn. A half that nobody comes back to expires
// after three spans. If the clock is set back, the turn stays; if by more than
// a span, the numbers are set back as well, and the buckets stay.
//
// To free someone, delete the field from both halves and wait or restart the
// replicas: they remember.
package redislimit
