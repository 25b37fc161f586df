package main

import (
	"context"
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/neosc/gate/session"
	"github.com/neosc/gate/session/web/admin"
)

func orgCommand() command {
	return verbs("org", "Show and change the organizations of a running gate", []command{
		{"list", "list organizations", orgList},
		{"create", "make an organization", orgCreate},
		{"rename", "give an organization another name, in live sessions too", orgRename},
	})
}

func orgList(ctx context.Context, args []string, s streams) int {
	f := operatorFlagSet("org list", "gate org list [flags]", "Lists organizations with how many accounts are in them.", s)
	if _, code, done := f.operands(args, 0, 0); done {
		return code
	}
	var all []session.Organization
	return f.do(s, func(c *admin.Client) (any, error) {
		var err error
		all, err = c.Organizations(ctx)
		return all, err
	}, func(w io.Writer) {
		t := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
		fmt.Fprintln(t, "NAME\tDOMAIN\tACCOUNTS\tWORKSPACES\tID\tCREATED")
		for _, o := range all {
			fmt.Fprintf(t, "%s\t%s\t%d\t%d\t%s\t%s\n", visible(o.Name), orDash(visible(o.Domain)), o.UsersCount, o.WorkspacesCount, o.ID, o.CreatedAt.UTC().Format("2006-01-02"))
		}
		_ = t.Flush() // an output that is gone has nobody to be told
	})
}

func orgCreate(ctx context.Context, args []string, s streams) int {
	f := operatorFlagSet("org create", "gate org create NAME [flags]", "Makes an organization, with nobody in it.", s)
	domain := f.String("domain", "", "host `name` that people know it by; it admits nobody")
	rest, code, done := f.operands(args, 1, 1)
	if done {
		return code
	}
	var o session.Organization
	return f.do(s, func(c *admin.Client) (any, error) {
		var err error
		o, err = c.AddOrganization(ctx, rest[0], *domain)
		return o, err
	}, func(w io.Writer) { fmt.Fprintf(w, "made %s (%s)\n", visible(o.Name), o.ID) })
}

func orgRename(ctx context.Context, args []string, s streams) int {
	f := operatorFlagSet("org rename", "gate org rename NAME NEW-NAME [flags]", "Gives an organization, named by its name or id, another name, in live sessions too.", s)
	rest, code, done := f.operands(args, 2, 2)
	if done {
		return code
	}
	var o session.Organization
	return f.do(s, func(c *admin.Client) (any, error) {
		var err error
		o, err = c.ChangeOrganization(ctx, rest[0], &rest[1], nil)
		return o, err
	}, func(w io.Writer) { fmt.Fprintf(w, "%s is called %s now\n", visible(rest[0]), visible(o.Name)) })
}
