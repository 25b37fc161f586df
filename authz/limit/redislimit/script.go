package redislimit

import (
	"crypto/sha1"
	"encoding/hex"
)

// script judges a batch. The buckets of one limit lie in a table, see the
// package comment: KEYS are two hashes per table. ARGV[2] and on are the fields
// of the buckets, those of one table after the other; ARGV[1] is a msgpack array
// of integers:
//
//	how many tables, and for each: interval, tolerance (both ns), span (s),
//	            how many buckets
//	number of give-backs, and for each: bucket, amount (ns), seconds and
//	            nanoseconds of the Redis time at which it was taken
//	per group:  how many equal requests, how many charges, and for each charge
//	            bucket, cost
//
// The answer is another such array: Redis' time (seconds, nanoseconds), per
// bucket its debt in ns before the groups (how far it is from full), per group
// how many were admitted.
//
// All numbers stay below 2^53, where doubles count exactly (limit.MaxFill). A
// debt above the tolerance can only come from a clock that was set back: then
// the bucket counts as empty, which it was at worst, and not as locked until
// the clock has caught up. So does a value that is none of ours.
//
// What costs is the number of redis.call's, some 2.5 µs each whatever they do:
// a SET with PX per bucket made 4.0 of 6.4 µs per check, one HSET for all of a
// table makes 1.4 of 3.6.
const script = `
local call, floor, A, K = redis.call, math.floor, ARGV, KEYS
local pack, read = struct.pack, struct.unpack
local t = call('TIME')
local sec, nano = tonumber(t[1]), tonumber(t[2]) * 1000

-- open returns the hash that table k writes to, and the values of the buckets
-- whose fields are A[from..to], after one that is none.
local function open(k, span, from, to)
  local now = floor(sec / span)
  local x, y = K[2*k-1 + now % 2], K[2*k - now % 2]
  local v = call('HMGET', x, 'g', unpack(A, from, to))
  local gx, gy = tonumber(v[1]), tonumber(call('HGET', y, 'g'))
  local gen = math.max(now, gx or now, gy or now)
  if gen > now + 1 then
    -- The clock was set back by more than a span: count on from here.
    local by = gen - now - (gen - now) % 2
    gen = gen - by
    for h, g in pairs({[x] = gx, [y] = gy}) do
      call('HSET', h, 'g', g - by)
      call('EXPIRE', h, 3 * span)
    end
    gx, gy = gx and gx - by, gy and gy - by
  end
  local cur, old, older = x, y, gy
  if gen > now then
    cur, old, older = y, x, gx
    v = call('HMGET', cur, 'g', unpack(A, from, to))
  elseif gx ~= gen then
    if v[1] then call('UNLINK', x) end
    if gy and gy ~= gen - 1 then call('UNLINK', y) end
    call('HSET', x, 'g', gen)
    call('EXPIRE', x, 3 * span)
    v = {}
  end
  if older ~= gen - 1 then return cur, v end
  local ask, at, n = {}, {}, 0
  for i = from, to do
    local j = i - from + 2
    if not v[j] then n = n + 1 ask[n] = A[i] at[n] = j end
  end
  if n > 0 then
    local w = call('HMGET', old, unpack(ask))
    for i = 1, n do v[at[i]] = w[i] end
  end
  return cur, v
end

local a, n, p = cmsgpack.unpack(A[1]), 0, 2
local out, every, most, dirty, into, upto = {sec, nano}, {}, {}, {}, {}, {}
for k = 1, a[1] do
  local interval, tol, span, count = a[p], a[p+1], a[p+2], a[p+3]
  p = p + 4
  local cur, vals = open(k, span, n + 2, n + 1 + count)
  for j = 2, count + 1 do
    n = n + 1
    local v, d = vals[j], 0
    if v then
      if #v == 8 then
        local s, ns = read('>I4I4', v)
        d = (s - sec) * 1e9 + (ns - nano)
      else
        d = tol + 1
      end
      if d < 0 then d = 0 elseif d > tol then d = tol dirty[n] = d end
    end
    out[n+2], every[n], most[n] = d, interval, tol
  end
  into[k], upto[k] = cur, n
end
local backs = a[p]
p = p + 1
for _ = 1, backs do
  local i, since = a[p], (sec - a[p+2]) * 1e9 + (nano - a[p+3])
  local back = a[p+1]
  if since > 0 then back = back - since end
  if back > 0 then
    local d = out[i+2] - back
    if d < 0 then d = 0 end
    out[i+2], dirty[i] = d, d
  end
  p = p + 4
end
local o, last = n + 2, #a
while p <= last do
  local g, e = a[p], p + 1 + 2 * a[p+1]
  for j = p + 2, e, 2 do
    local i, c = a[j], a[j+1]
    if c > 0 then
      local fit = floor((most[i] - (dirty[i] or out[i+2])) / (c * every[i]))
      if fit < g then g = fit end
    end
  end
  if g > 0 then
    for j = p + 2, e, 2 do
      local i, c = a[j], a[j+1]
      if c > 0 then dirty[i] = (dirty[i] or out[i+2]) + g * c * every[i] end
    end
  end
  o = o + 1
  out[o] = g
  p = e + 1
end
local from = 1
for k = 1, a[1] do
  local m, c = {}, 0
  for i = from, upto[k] do
    local d = dirty[i]
    if d then
      local e = nano + d
      local s = floor(e / 1e9)
      m[c+1], m[c+2], c = A[i+1], pack('>I4I4', sec + s, e - s * 1e9), c + 2
    end
  end
  if c > 0 then call('HSET', into[k], unpack(m)) end
  from = upto[k] + 1
end
return cmsgpack.pack(out)
`

// scriptName is what EVALSHA calls the script: no secret hangs on it.
func scriptName() string {
	sum := sha1.Sum([]byte(script))
	return hex.EncodeToString(sum[:])
}
