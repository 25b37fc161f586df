package config_test

import (
	"strings"
	"testing"

	"github.com/neosc/gate/cmd/gate/internal/config"
)

func TestRedisURLComesFromTheFileOrTheEnvironment(t *testing.T) {
	t.Parallel()
	const inFile = least + "session: {store: redis, redis: 'redis://file'}\n"
	for name, tc := range map[string]struct {
		yaml string
		env  []string
		want string
	}{
		"File":        {inFile, nil, "redis://file"},
		"Environment": {inFile, []string{"REDIS_URL=redis://env"}, "redis://env"},
		"EmptyIsNone": {inFile, []string{"REDIS_URL="}, "redis://file"},
		"OwnVariable": {inFile, []string{"GATE_SESSION_REDIS=redis://own", "REDIS_URL=redis://env"}, "redis://own"},
		"LeftToServe": {least + "session: {store: redis}\n", nil, ""},
		"NotAsked":    {least, []string{"REDIS_URL=anything"}, "anything"},
	} {
		c, err := config.Parse("gate.yaml", []byte(tc.yaml), tc.env)
		if err != nil || c.Session.Redis != tc.want {
			t.Errorf("%s: %+v, error %v; want %s", name, c, err, tc.want)
		}
	}
}

func TestWrongRedisURLIsNamedAndNotShown(t *testing.T) {
	t.Parallel()
	for url, want := range map[string]string{
		"redis://u:hidden@h:port": "session.redis (or REDIS_URL)", "http://u:hidden@h": "session.redis (or REDIS_URL)",
	} {
		_, err := config.Parse("gate.yaml", []byte(least+"session: {store: redis, redis: '"+url+"'}\n"), nil)
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hidden") {
			t.Errorf("%q: error %v, want one that says %q", url, err, want)
		}
	}
}
