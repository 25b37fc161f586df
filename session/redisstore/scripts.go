package redisstore

import "github.com/redis/go-redis/v9"

// Every script has KEYS[1], which only says what shard it is for, and ARGV[1],
// the prefix from which it makes the names of keys.

// library is the beginning of every script. A record's head line is: version,
// beginning and absolute end in µs, the user's and the email's hash.
const library = `
local p = ARGV[1]
local function head(k)
  return string.match(redis.call('GETRANGE', p..'r:'..k, 0, 255), '^(%d+) (%-?%d+) (%-?%d+) (%x+) (%x+)\n')
end
local function unlist(k, u, e)
  redis.call('ZREM', p..'u:'..u, k)
  redis.call('ZREM', p..'e:'..e, k)
end
local function list(k, begun, ttl, u, e)
  for _, name in ipairs({p..'u:'..u, p..'e:'..e}) do
    redis.call('ZADD', name, begun, k)
    if redis.call('PTTL', name) < tonumber(ttl) then redis.call('PEXPIRE', name, ttl) end
  end
end
local function drop(k)
  local v, _, _, u, e = head(k)
  if u then unlist(k, u, e) end
  redis.call('DEL', p..'r:'..k)
  redis.call('ZREM', p..'ends', k)
  redis.call('ZREM', p..'begun', k)
  return v and 1 or 0
end
`

// Replies of the scripts that change one record.
const (
	done     = 1
	missing  = 0
	taken    = -1
	conflict = -2
)

func newScript(text string) *redis.Script { return redis.NewScript(library + text) }

// scripts are made once for each Store.
type scripts struct{ create, update, touch, remove, removeUser, sweep *redis.Script }

func newScripts() scripts {
	return scripts{
		create: newScript(`
local k, record, idle, begun, ttl, u, e, ms = unpack(ARGV, 2)
if redis.call('EXISTS', p..'r:'..k) == 1 then return -1 end
local nb = redis.call('GET', p..'nb:'..u)
if nb and tonumber(ms) < tonumber(nb) then return -2 end
redis.call('SET', p..'r:'..k, record, 'PX', ttl)
redis.call('ZADD', p..'ends', idle, k)
redis.call('ZADD', p..'begun', begun, k)
list(k, begun, ttl, u, e)
return 1`),
		update: newScript(`
local k, record, idle, begun, ttl, u, e, version, expires = unpack(ARGV, 2)
local v, _, _, oldu, olde = head(k)
local s = redis.call('ZSCORE', p..'ends', k)
if not v or not s then return 0 end
if v ~= version then return -2 end
-- Touched since it was read.
if tonumber(s) > tonumber(idle) and tonumber(s) <= tonumber(expires) then idle = s end
redis.call('SET', p..'r:'..k, record, 'PX', ttl)
redis.call('ZADD', p..'ends', idle, k)
redis.call('ZADD', p..'begun', begun, k)
unlist(k, oldu, olde)
list(k, begun, ttl, u, e)
return 1`),
		touch: newScript(`
local k, t = unpack(ARGV, 2)
local v, _, expires = head(k)
local s = redis.call('ZSCORE', p..'ends', k)
if not v or not s then return 0 end
if tonumber(t) > tonumber(expires) then t = expires end
if tonumber(t) > tonumber(s) then redis.call('ZADD', p..'ends', t, k) end
return 1`),
		remove: newScript(`
redis.call('SET', p..'barrier', ARGV[3])
return drop(ARGV[2])`),
		removeUser: newScript(`
local u, ms, life, most = unpack(ARGV, 2)
redis.call('SET', p..'barrier', ms)
local nb = redis.call('GET', p..'nb:'..u)
if not nb or tonumber(nb) < tonumber(ms) then redis.call('SET', p..'nb:'..u, ms, 'PX', life) end
local gone = {}
local keys = redis.call('ZRANGE', p..'u:'..u, 0, most - 1)
for _, k in ipairs(keys) do
  local _, _, _, owner = head(k)
  if owner == u and drop(k) == 1 then gone[#gone + 1] = k end
  redis.call('ZREM', p..'u:'..u, k)
end
return {#keys, gone}`),
		sweep: newScript(`
local now, most = unpack(ARGV, 2)
local keys = redis.call('ZRANGEBYSCORE', p..'ends', '-inf', now, 'LIMIT', 0, most)
local records = {}
for _, k in ipairs(keys) do
  if ARGV[4] == '1' then records[#records + 1] = redis.call('GET', p..'r:'..k) or '' end
  drop(k)
end
return {keys, records}`),
	}
}
