package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/neosc/gate/cmd/gate/internal/config"
	"github.com/neosc/gate/session/web/admin"
)

// checkReady asks the gate that runs with cfg whether it is ready, for health
// checks where there is no shell and no curl.
func checkReady(ctx context.Context, cfg *config.Config, s streams) int {
	st, err := admin.NewClient(cfg.Listen.Admin).Status(ctx)
	if err == nil && !st.Ready {
		err = fmt.Errorf("it runs and is not ready: %s", strings.Join(st.NotReady, "; "))
	}
	if err != nil {
		return fail(s.err, "check", err)
	}
	fmt.Fprintf(s.out, "ready since %s, policy %s\n", st.Started.UTC().Format("2006-01-02 15:04:05Z"), st.Policy.Revision)
	return exitOK
}
