package main

import (
	"context"
	"time"

	"github.com/neosc/gate/session"
	"github.com/neosc/gate/session/web/admin"
)

// switchesOf is what the switches of the running gate are set to; nothing where
// none runs, or does not say so at once.
func switchesOf(ctx context.Context, c *admin.Client) (stored []session.StoredSwitch) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	all, err := c.Switches(ctx)
	if err != nil {
		return nil
	}
	for _, x := range all.Switches {
		if x.Set {
			stored = append(stored, session.StoredSwitch{Name: x.Name, Value: &x.Value, Version: x.Version})
		}
	}
	return stored
}
