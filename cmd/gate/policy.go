package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"text/tabwriter"

	"github.com/neosc/gate/session"
	"github.com/neosc/gate/session/web/admin"
)

func policyCommand() command {
	return verbs("policy", "Write and test policies; show that of a running gate, and change what it lets be changed", []command{
		{"status", "say which policy is active, and what runs it", policyStatus},
		{"coverage", "say which rules have held in live traffic, and how often", policyCoverage},
		{"switches", "list the policy's switches, set one or set it back", policySwitches},
		{"new", "write a policy with its data and its test", policyNew},
		{"shadow", "watch a candidate policy beside the active one", policyShadow},
		{"test", "run the tests of a policy folder, and refuse what the gate would", policyTest},
		{"import-ppl", "turn Pomerium's configuration into routes and a policy set", policyImport},
	})
}

func policySwitches(ctx context.Context, args []string, s streams) int {
	return verbs("policy switches", "Show and turn the switches that the active policy declares", []command{
		{"list", "list switches and where they stand", switchList},
		{"set", "set a switch", switchSet},
		{"reset", "set a switch back to the policy's default", switchReset},
	}).run(ctx, args, s)
}

func switchList(ctx context.Context, args []string, s streams) int {
	f := operatorFlagSet("policy switches list", "gate policy switches list [flags]",
		"Lists the switches of the active policy. * marks those that somebody has set. Times are UTC.", s)
	if _, code, done := f.operands(args, 0, 0); done {
		return code
	}
	var all session.SwitchList
	return f.do(s, func(c *admin.Client) (any, error) {
		var err error
		all, err = c.Switches(ctx)
		return all, err
	}, func(w io.Writer) { showSwitches(w, all) })
}

func showSwitches(w io.Writer, all session.SwitchList) {
	if len(all.Switches) == 0 {
		fmt.Fprintln(w, "the policy declares no switches")
	} else {
		t := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
		fmt.Fprintln(t, "NAME\tVALUE\tDEFAULT\tMAY BE\tCHANGED\tBY\tWHAT IT IS")
		for _, x := range all.Switches {
			value, changed := x.Value.String(), "-"
			if x.Set {
				value += " *"
			}
			if !x.ChangedAt.IsZero() {
				changed = x.ChangedAt.UTC().Format("2006-01-02 15:04")
			}
			fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", visible(x.Name), value, x.Default, mayBe(x), changed, orDash(visible(x.ChangedBy)), visible(x.Title))
		}
		_ = t.Flush() // an output that is gone has nobody to be told
	}
	for _, x := range all.Ignored {
		fmt.Fprintf(w, "ignored: %s is set to %s: %s; take it back with gate policy switches reset %s\n", visible(x.Name), x.Value, visible(x.Why), visible(x.Name))
	}
	if all.Trouble != "" {
		fmt.Fprintf(w, "these are the last values that were known: %s\n", visible(all.Trouble))
	}
	fmt.Fprintf(w, "policy %s, generation %d\n", visible(all.Revision), all.Generation)
}

// mayBe says what a switch can be set to.
func mayBe(x session.Switch) string {
	switch {
	case x.Type == session.SwitchBoolean:
		return "true, false"
	case x.Min == nil || x.Max == nil:
		return x.Type
	}
	return session.NumberValue(*x.Min).String() + " to " + session.NumberValue(*x.Max).String()
}

func switchSet(ctx context.Context, args []string, s streams) int {
	f := operatorFlagSet("policy switches set", "gate policy switches set NAME VALUE [flags]",
		"Sets a switch: to true, false (or on, off) or a number. It is in force when the command\nreturns, on the other gates of the same store within 5 s.", s)
	rest, code, done := f.operands(args, 2, 2)
	if done {
		return code
	}
	v, err := switchValue(rest[1])
	if err != nil {
		return fail(s.err, "policy switches set", err)
	}
	return turn(ctx, f, s, rest[0], &v)
}

// switchValue reads a switch's value as people write it.
func switchValue(text string) (session.SwitchValue, error) {
	switch text {
	case "on":
		text = "true"
	case "off":
		text = "false"
	}
	return session.ParseSwitchValue(text)
}

func switchReset(ctx context.Context, args []string, s streams) int {
	f := operatorFlagSet("policy switches reset", "gate policy switches reset NAME [flags]",
		"Takes back what a switch was set to, so that the policy's default holds.", s)
	rest, code, done := f.operands(args, 1, 1)
	if done {
		return code
	}
	return turn(ctx, f, s, rest[0], nil)
}

func turn(ctx context.Context, f *operatorFlags, s streams, name string, v *session.SwitchValue) int {
	var x session.Switch
	var all session.SwitchList
	return f.do(s, func(c *admin.Client) (any, error) {
		var err error
		if all, err = c.Switches(ctx); err == nil {
			x, err = c.SetSwitch(ctx, name, v, versionOf(all, name))
		}
		return x, err
	}, func(w io.Writer) {
		if slices.ContainsFunc(all.Ignored, func(i session.IgnoredSwitch) bool { return v == nil && i.Name == name }) {
			fmt.Fprintf(w, "%s is no longer set\n", visible(x.Name))
			return
		}
		fmt.Fprintf(w, "%s is %s now\n", visible(x.Name), x.Value)
	})
}

// versionOf is what a change of a switch builds upon; 0 if there is none of
// that name, which the gate says better.
func versionOf(all session.SwitchList, name string) uint64 {
	for _, x := range all.Switches {
		if x.Name == name {
			return x.Version
		}
	}
	for _, x := range all.Ignored {
		if x.Name == name {
			return x.Version
		}
	}
	return 0
}
