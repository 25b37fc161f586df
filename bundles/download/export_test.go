package download

import (
	"context"
	"time"
)

// SetSleep has f pause in the place of the clock.
func (c *Client) SetSleep(f func(context.Context, time.Duration) bool) { c.sleep = f }
