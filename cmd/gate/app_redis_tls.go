package main

import (
	"crypto/tls"
	"fmt"
	"log/slog"

	"github.com/neosc/gate/cmd/gate/internal/config"
	"github.com/neosc/gate/cmd/gate/internal/tlsfiles"
)

// redisTLS is what section.redis_tls says; nil leaves what rediss:// sets up.
func redisTLS(section string, t config.RedisTLS, log *slog.Logger) (*tls.Config, error) {
	if t == (config.RedisTLS{}) {
		return nil, nil
	}
	o := tlsfiles.Options{Cert: t.Cert, Key: t.Key, CA: t.CA, Logger: log}
	if t.Name != "" {
		o.Names = []string{t.Name}
	}
	conf, err := tlsfiles.Client(o)
	if err != nil {
		return nil, fmt.Errorf("%s.redis_tls: %w", section, err)
	}
	return conf, nil
}
