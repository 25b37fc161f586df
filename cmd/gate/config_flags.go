package main

import (
	"os"

	"github.com/neosc/gate/cmd/gate/internal/config"
)

// loadSocket returns the admin socket that a config file names.
func loadSocket(configPath string) (string, error) {
	cfg, err := config.Load(configPath, os.Environ())
	if err != nil {
		return "", err
	}
	return cfg.Listen.Admin, nil
}
