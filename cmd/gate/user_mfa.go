package main

import (
	"context"
	"fmt"
	"io"

	"github.com/neosc/gate/session/web/admin"
)

func userMFAReset(ctx context.Context, args []string, s streams) int {
	f := operatorFlagSet("user mfa-reset", "gate user mfa-reset EMAIL [flags]",
		"Takes an account's second factors and recovery codes away and ends its sessions, for who\nhas lost them all. With -all everybody's apps and recovery codes, and no passkeys: for a\nkey ring (cookie.keys) that was lost, without which those cannot be read.", s)
	all := f.Bool("all", false, "of all accounts; name none")
	rest, code, done := f.operands(args, 0, 1)
	if done {
		return code
	}
	if (len(rest) == 1) == *all {
		fmt.Fprintln(s.err, "gate user mfa-reset: name one account, or all with -all; not both")
		return exitUsage
	}
	var u admin.ChangedUser
	return f.do(s, func(c *admin.Client) (any, error) {
		if *all {
			return struct{}{}, c.ResetFactors(ctx)
		}
		var err error
		u, err = c.RemoveFactors(ctx, rest[0])
		return u, err
	}, func(w io.Writer) {
		if *all {
			fmt.Fprintln(w, "removed all apps and recovery codes")
			return
		}
		fmt.Fprintf(w, "removed the second factors of %s and ended %s\n", visible(u.User.Email), sessionsText(u.SessionsEnded))
	})
}
