package redislimit

import (
	"crypto/sha1"
	"encoding/hex"
)

// script judges a batch. KEYS are the buckets, each once. ARGV[1] is a msgpack
// array of integers:
//
//	per key:    interval, tolerance (both ns)
//	number of give-backs, and for each: key index, amount (ns), seconds and
//	            nanoseconds of the Redis time at which it was taken
//	per group:  how many equal requests, how many charges, and for each charge
//	            key index, cost
//
// The answer: Redis' time (seconds, nanoseconds), per key its debt in ns before
// the groups (how far it is from full), per group how many were admitted.
//
// All numbers stay below 2^53, where doubles count exactly (limit.MaxFill). A
// debt above the tolerance can only come from a clock that was set back: then
// the bucket counts as empty, which it was at worst, and not as locked until
// the clock has caught up. So does a value that is none of ours.
const script = `
local call, floor, ceil = redis.call, math.floor, math.ceil
local t = call('TIME')
local sec, nano = tonumber(t[1]), tonumber(t[2]) * 1000
local a, K = cmsgpack.unpack(ARGV[1]), KEYS
local n, p = #K, 1
local debt, every, most, dirty = {}, {}, {}, {}
local vals = call('MGET', unpack(K))
for i = 1, n do
  local tol = a[p+1]
  every[i], most[i], p = a[p], tol, p + 2
  local v, d = vals[i], 0
  if v then
    if #v == 8 then
      local s, ns = struct.unpack('>I4I4', v)
      d = (s - sec) * 1e9 + (ns - nano)
    else
      d = tol + 1
    end
    if d < 0 then d = 0 elseif d > tol then d = tol dirty[i] = true end
  end
  debt[i] = d
end
local backs = a[p]
p = p + 1
for _ = 1, backs do
  local i, since = a[p], (sec - a[p+2]) * 1e9 + (nano - a[p+3])
  local back = a[p+1]
  if since > 0 then back = back - since end
  if back > 0 then
    debt[i] = debt[i] - back
    if debt[i] < 0 then debt[i] = 0 end
    dirty[i] = true
  end
  p = p + 4
end
local out = {sec, nano}
for i = 1, n do out[i+2] = debt[i] end
local o, last = n + 2, #a
while p <= last do
  local g, e = a[p], p + 1 + 2 * a[p+1]
  for j = p + 2, e, 2 do
    local i, c = a[j], a[j+1]
    if c > 0 then
      local fit = floor((most[i] - debt[i]) / (c * every[i]))
      if fit < g then g = fit end
    end
  end
  if g > 0 then
    for j = p + 2, e, 2 do
      local i, c = a[j], a[j+1]
      if c > 0 then
        debt[i] = debt[i] + g * c * every[i]
        dirty[i] = true
      end
    end
  end
  o = o + 1
  out[o] = g
  p = e + 1
end
for i = 1, n do
  if dirty[i] then
    local d = debt[i]
    if d > 0 then
      local e = nano + d
      local s = floor(e / 1e9)
      call('SET', K[i], struct.pack('>I4I4', sec + s, e - s * 1e9), 'PX', ceil(d / 1e6))
    else
      call('DEL', K[i])
    end
  end
end
return out
`

// scriptName is what EVALSHA calls the script: no secret hangs on it.
func scriptName() string {
	sum := sha1.Sum([]byte(script))
	return hex.EncodeToString(sum[:])
}
