package config

import (
	"strings"

	"github.com/neosc/gate/session/redisstore"
)

// redisVariable overrides session.redis and limits.redis; GATE_SESSION_REDIS
// and GATE_LIMITS_REDIS go before it.
const redisVariable = "REDIS_URL"

func overrideRedis(c *Config, environ []string) {
	for _, kv := range environ {
		if v, ok := strings.CutPrefix(kv, redisVariable+"="); ok && v != "" {
			c.Session.Redis, c.Limits.Redis = v, v
		}
	}
}

// checkRedis never shows the URL: it may hold a password. An empty one is not
// refused before the session store is opened: operators' commands read the same
// file, without the variable that the service has.
func (c *Config) checkRedis() error {
	if c.Limits.Store == "redis" && c.Limits.Redis == "" {
		return c.errf("limits.redis", "is empty; name the server, e.g. redis://127.0.0.1:6379, or set %s", redisVariable)
	}
	if c.Session.Store != "redis" || c.Session.Redis == "" {
		return nil
	}
	if err := redisstore.CheckURL(c.Session.Redis); err != nil {
		return c.errf("session.redis", "(or %s) is wrong: %v", redisVariable, err)
	}
	return nil
}
