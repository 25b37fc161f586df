package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/neosc/gate/bundles/archive"
	"github.com/neosc/gate/bundles/shadow"
	"github.com/neosc/gate/session/web/admin"
)

func policyShadow(ctx context.Context, args []string, s streams) int {
	all := []command{
		{"start", "have a candidate decide a share of the requests beside the active policy", shadowStart},
		{"status", "say where the candidate and the active policy differ, by rule", shadowStatus},
		{"promote", "activate the candidate", shadowPromote},
		{"drop", "watch it no more", shadowDrop},
	}
	if len(args) > 0 && strings.HasPrefix(args[0], "-") && strings.TrimLeft(args[0], "-") != "h" && strings.TrimLeft(args[0], "-") != "help" {
		return shadowStart(ctx, args, s) // gate policy shadow -dir DIR
	}
	return verbs("policy shadow", "Watch a candidate policy beside the active one before it decides anything; flags alone\nare those of start", all).run(ctx, args, s)
}

func shadowStart(ctx context.Context, args []string, s streams) int {
	f := operatorFlagSet("policy shadow start", "gate policy shadow start -dir DIR | -bundle FILE [-share 0.1] [flags]",
		"Has a candidate policy decide a share of the requests that the running gate decides, off\ntheir path; nothing comes of what it says but a report. One that was watched before is\nwatched no more. Where bundles have to be signed, so has this one.", s)
	dir := f.String("dir", "", "policy `folder` of the candidate")
	file := f.String("bundle", "", "bundle `file` of the candidate")
	share := f.Float64("share", 0.1, "how many of the requests, above 0 and up to 1")
	if _, code, done := f.operands(args, 0, 0); done {
		return code
	}
	if (*dir == "") == (*file == "") {
		fmt.Fprintln(s.err, "gate policy shadow start: want one of -dir and -bundle; see gate policy shadow start -h")
		return exitUsage
	}
	if !(*share > 0 && *share <= 1) {
		fmt.Fprintf(s.err, "gate policy shadow start: -share %g is not above 0 and up to 1\n", *share)
		return exitUsage
	}
	var out shadow.Report
	return f.do(s, func(c *admin.Client) (any, error) {
		packed, err := packedCandidate(*dir, *file)
		if err != nil {
			return nil, err
		}
		name, err := filepath.Abs(cmp.Or(*dir, *file))
		if err != nil {
			return nil, err
		}
		err = c.Post(ctx, shadowPath, shadowWish{Name: name, Share: *share, Bundle: packed}, &out)
		return out, err
	}, func(w io.Writer) {
		fmt.Fprintf(w, "%s is in shadow of %s, for %g%% of the requests; gate policy shadow status says what comes of it\n", visible(out.Revision), visible(out.LiveRevision), 100*out.Share)
		if out.Slow != "" {
			fmt.Fprintf(w, "it runs on OPA's evaluator, so that some requests are left out: %s\n", visible(out.Slow))
		}
	})
}

// packedCandidate is a candidate as one bundle: the gate may not be allowed to
// read where its operators may.
func packedCandidate(dir, file string) ([]byte, error) {
	if dir != "" {
		root, err := os.OpenRoot(dir)
		if err != nil {
			return nil, fmt.Errorf("policy directory: %w", err)
		}
		defer root.Close()
		return archive.Build(root.FS(), archive.BuildOptions{})
	}
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	packed, err := io.ReadAll(io.LimitReader(f, archive.MaxPacked+1))
	if err == nil && len(packed) > archive.MaxPacked {
		err = fmt.Errorf("%s has more than %d bytes", file, archive.MaxPacked)
	}
	return packed, err
}

func shadowStatus(ctx context.Context, args []string, s streams) int {
	f := operatorFlagSet("policy shadow status", "gate policy shadow status [flags]",
		"Says how often the candidate and the active policy have differed, and where: by what of\nthe decision, route and rule, with the last request of each kind. - is a rule that held\nin the active policy alone, + one that held in the candidate alone.", s)
	if _, code, done := f.operands(args, 0, 0); done {
		return code
	}
	var out shadow.Report
	return f.do(s, func(c *admin.Client) (any, error) {
		err := c.Get(ctx, shadowPath, nil, &out)
		return out, sayNone(err)
	}, func(w io.Writer) { showShadow(w, &out) })
}

// sayNone adds the mend.
func sayNone(err error) error {
	if p, ok := errors.AsType[*admin.Problem](err); ok && p.Status == http.StatusNotFound {
		return fmt.Errorf("%w; gate policy shadow start -dir DIR begins", err)
	}
	return err
}

func showShadow(w io.Writer, x *shadow.Report) {
	fmt.Fprintf(w, "%s (%s), for %g%% of the requests since %s\n", visible(x.Revision), visible(x.Place), 100*x.Share, x.Since.UTC().Format(time.RFC3339))
	fmt.Fprintf(w, "against %s, generation %d\n", visible(x.LiveRevision), x.LiveGeneration)
	fmt.Fprintf(w, "%d compared: %d agree, %d differ", x.Compared, x.Agreed, x.Disagreed)
	for _, n := range []struct {
		n    uint64
		what string
	}{{x.Stale, "of another policy meanwhile"}, {x.Dropped, "left out, there was too much to do"}, {x.Skipped, "left out, too large"}} {
		if n.n > 0 {
			fmt.Fprintf(w, ", %d %s", n.n, n.what)
		}
	}
	fmt.Fprintln(w)
	for _, why := range []struct{ is, text string }{{"runs on OPA's evaluator: ", x.Slow}, {"", x.Trouble}} {
		if why.text != "" {
			fmt.Fprintf(w, "%s%s\n", why.is, visible(why.text))
		}
	}
	for i := range x.Groups {
		showShadowGroup(w, &x.Groups[i])
	}
	if x.Others > 0 {
		fmt.Fprintf(w, "\n%d more of other kinds\n", x.Others)
	}
}

func showShadowGroup(w io.Writer, g *shadow.Group) {
	fmt.Fprintf(w, "\n%d × %s on %s: %s → %s\n", g.Count, g.Kind, visible(g.Route), orDash(visible(g.From)), orDash(visible(g.To)))
	t := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	for _, rule := range g.Rules {
		fmt.Fprintf(t, "  %s\n", visible(rule))
	}
	who := "nobody signed in"
	if g.Example.SignedIn {
		who = "roles " + visibleList(g.Example.Roles)
	}
	fmt.Fprintf(t, "  e.g. %s %s%s, %s, at %s\n", visible(g.Example.Method), visible(g.Example.Host), visible(g.Example.Path), who, g.Example.Time.UTC().Format(time.RFC3339))
	if g.Example.RequestID != "" {
		fmt.Fprintf(t, "  gate explain -request-id %s says why it was decided as it was\n", visible(g.Example.RequestID))
	}
	_ = t.Flush() // an output that is gone has nobody to be told
}

func shadowPromote(ctx context.Context, args []string, s streams) int {
	f := operatorFlagSet("policy shadow promote", "gate policy shadow promote [flags]",
		"Activates the candidate as it was watched, once its tests have passed. Where the policy\ncomes in bundles it is kept, and the source brings no other than a newer one; else it\ngoes on until the policy's folder changes or the gate starts again.", s)
	if _, code, done := f.operands(args, 0, 0); done {
		return code
	}
	var out promoted
	return f.do(s, func(c *admin.Client) (any, error) {
		err := c.Post(ctx, shadowPath+"/promote", nil, &out)
		return out, sayNone(err)
	}, func(w io.Writer) {
		fmt.Fprintf(w, "%s is active, generation %d\n", visible(out.Revision), out.Generation)
		if !out.Lasting {
			fmt.Fprintln(w, "it is so until the policy's own place changes or the gate starts again: put it there too")
		}
	})
}

func shadowDrop(ctx context.Context, args []string, s streams) int {
	f := operatorFlagSet("policy shadow drop", "gate policy shadow drop [flags]", "Watches the candidate no more.", s)
	if _, code, done := f.operands(args, 0, 0); done {
		return code
	}
	var out struct{}
	return f.do(s, func(c *admin.Client) (any, error) {
		return out, sayNone(c.Post(ctx, shadowPath+"/drop", nil, &out))
	}, func(w io.Writer) { fmt.Fprintln(w, "no policy is in shadow now") })
}
