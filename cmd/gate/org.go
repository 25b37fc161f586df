package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"

	"github.com/neosc/gate/session"
	"github.com/neosc/gate/session/web/admin"
)

func orgCommand() command {
	return verbs("org", "Show and change the organizations of a running gate", []command{
		{"list", "list organizations", orgList},
		{"create", "make an organization", orgCreate},
		{"rename", "give an organization another name, in live sessions too", orgRename},
		{"settings", "show an organization's settings, or set them", orgSettings},
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
		o, err = c.ChangeOrganization(ctx, rest[0], session.OrganizationChange{Name: &rest[1]})
		return o, err
	}, func(w io.Writer) { fmt.Fprintf(w, "%s is called %s now\n", visible(rest[0]), visible(o.Name)) })
}

func orgSettings(ctx context.Context, args []string, s streams) int {
	f := operatorFlagSet("org settings", "gate org settings NAME [flags]",
		"Prints the settings of an organization, named by its name or id: a JSON object of its own, at\nmost 16 KiB, which apps read by the API. With -set they are what a file says.", s)
	from := f.String("set", "", "the `file` with the new settings, - for standard input")
	rest, code, done := f.operands(args, 1, 1)
	if done {
		return code
	}
	var o session.Organization
	return f.do(s, func(c *admin.Client) (_ any, err error) {
		if *from == "" {
			o, err = organizationNamed(ctx, c, rest[0])
			return o.Settings, err
		}
		settings, err := readSettings(*from, s.in)
		if err != nil {
			return nil, err
		}
		o, err = c.ChangeOrganization(ctx, rest[0], session.OrganizationChange{Settings: &settings})
		return o.Settings, err
	}, func(w io.Writer) {
		var out bytes.Buffer
		if json.Indent(&out, o.Settings, "", "  ") == nil {
			fmt.Fprintln(w, visibleLines(out.String()))
		}
	})
}

// organizationNamed is the organization of a name or id.
func organizationNamed(ctx context.Context, c *admin.Client, name string) (session.Organization, error) {
	all, err := c.Organizations(ctx)
	if err != nil {
		return session.Organization{}, err
	}
	for _, o := range all {
		if o.ID == name || strings.EqualFold(o.Name, name) {
			return o, nil
		}
	}
	return session.Organization{}, fmt.Errorf("there is no organization %q; gate org list has them", name)
}

// readSettings reads a JSON object from a file, before the gate checks it as well.
func readSettings(path string, in io.Reader) (json.RawMessage, error) {
	if path != "-" {
		file, err := os.Open(path)
		if err != nil {
			return nil, err
		}
		defer func() { _ = file.Close() }()
		in = file
	}
	b, err := io.ReadAll(io.LimitReader(in, 2*session.MaxSettings+1))
	if err != nil {
		return nil, err
	}
	if len(b) > 2*session.MaxSettings || !json.Valid(b) {
		return nil, fmt.Errorf("the settings are not a JSON object of at most %d bytes", session.MaxSettings)
	}
	return b, nil
}

// visibleLines is visible that leaves lines as they are.
func visibleLines(s string) string {
	lines := strings.Split(s, "\n")
	for i := range lines {
		lines[i] = visible(lines[i])
	}
	return strings.Join(lines, "\n")
}
