package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/neosc/gate/authz/engine"
	"github.com/neosc/gate/bundles"
	"github.com/neosc/gate/session/web/admin"
)

// policyPath is where the admin socket says what runs the active policy.
const policyPath = "/v1/policy"

// policyReport is what the active policy is and what it has done.
type policyReport struct {
	Revision   string `json:"revision"`
	Generation uint64 `json:"generation"`
	// Place is where policy comes from, LoadedAt when this one was activated, Signer
	// the key that it is signed with.
	Place    string    `json:"place"`
	LoadedAt time.Time `json:"loaded_at"`
	Signer   string    `json:"signer,omitempty"`
	// Refused is what was offered since, and why it does not serve.
	Refused *policyRefused `json:"refused,omitempty"`
	// Held is the revision that the place has and that an operator went back from.
	Held string `json:"held,omitempty"`
	// SourceError is why the place could not be asked, since SourceSince.
	SourceError string     `json:"source_error,omitempty"`
	SourceSince *time.Time `json:"source_since,omitempty"`
	// Evaluator is machine or opa, Why what keeps it from being the machine.
	Evaluator string `json:"evaluator"`
	Why       string `json:"why,omitempty"`
	// Pending: the two are being compared.
	Pending bool `json:"pending,omitempty"`
	// Compared is on how many inputs they were, in this process.
	Compared int `json:"compared"`
	engine.Reach
	// Evaluations are those on the machine, Rules what held in them.
	Evaluations uint64       `json:"evaluations"`
	Rules       []policyRule `json:"rules"`
}

// policyRefused is a policy that was offered last. Revision is "" if it has none.
type policyRefused struct {
	Revision string    `json:"revision,omitempty"`
	At       time.Time `json:"at"`
	Error    string    `json:"error"`
}

type policyRule struct {
	Rule string `json:"rule"`
	At   string `json:"at"`
	Held uint64 `json:"held"`
}

// longestWait is how long one question waits for an answer that is final.
const longestWait = 10 * time.Second

// showPolicy answers with a policyReport, once it is known what runs the policy
// if the question says so.
func (a *app) showPolicy(w http.ResponseWriter, r *http.Request) {
	if r.URL.Query().Get("settled") == "true" {
		ctx, cancel := context.WithTimeout(r.Context(), longestWait)
		defer cancel()
		a.engine.Settled(ctx)
	}
	x := a.engine.Report()
	out := policyReport{
		Revision: x.Revision, Generation: x.Generation, Evaluator: x.Evaluator, Why: x.Why, Pending: x.Pending,
		Compared: x.Inputs, Reach: x.Reach, Evaluations: x.Evaluations, Rules: []policyRule{},
	}
	out.tellSource(a.policy.Place(), a.policy.Status())
	for _, f := range x.Rules {
		out.Rules = append(out.Rules, policyRule{Rule: strings.TrimPrefix(f.Rule, "data."), At: f.At, Held: f.Held})
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(out) // whoever asked is gone otherwise
}

// tellSource says where policy comes from and what came of asking there.
func (x *policyReport) tellSource(place string, s bundles.Status) {
	x.Place, x.LoadedAt, x.Held = place, s.LoadedAt, s.Held
	if s.Bundle != nil {
		x.Signer = s.Bundle.Signature.KeyID
	}
	if s.LastError != nil {
		x.Refused = &policyRefused{Revision: s.Refused, At: s.LastAttempt, Error: s.LastError.Error()}
	}
	if s.SourceError != nil {
		x.SourceError, x.SourceSince = s.SourceError.Error(), &s.SourceSince
	}
}

// askPolicy gets the report of a running gate.
func askPolicy(ctx context.Context, c *admin.Client, wait bool) (out policyReport, err error) {
	q := url.Values{}
	if wait {
		q.Set("settled", "true")
	}
	for {
		if err = c.Get(ctx, policyPath, q, &out); err != nil || !wait || !out.Pending {
			return out, err
		}
		out = policyReport{}
	}
}

func policyStatus(ctx context.Context, args []string, s streams) int {
	f := operatorFlagSet("policy status", "gate policy status [flags]",
		"Says which policy is active and what runs it: the gate's own machine, or OPA's evaluator\nand why. Of the comparison of the two it names what no input came to.", s)
	wait := f.Bool("wait", false, "wait until the two have been compared")
	if _, code, done := f.operands(args, 0, 0); done {
		return code
	}
	var out policyReport
	return f.do(s, func(c *admin.Client) (_ any, err error) {
		out, err = askPolicy(ctx, c, *wait)
		out.Rules = nil // that is what coverage is for
		return out, err
	}, func(w io.Writer) { showPolicyStatus(w, &out) })
}

func showPolicyStatus(w io.Writer, x *policyReport) {
	fmt.Fprintf(w, "policy %s, generation %d\n", visible(x.Revision), x.Generation)
	showPolicySource(w, x)
	switch {
	case x.Pending:
		fmt.Fprintln(w, "runs on OPA's evaluator for now: the machine is being compared with it")
	case x.Evaluator == engine.Machine:
		fmt.Fprintln(w, "runs on the machine, which agreed with OPA's evaluator")
	case x.Why == "":
		fmt.Fprintln(w, "runs on OPA's evaluator, as configured")
	default:
		fmt.Fprintf(w, "runs on OPA's evaluator: %s\n", visible(x.Why))
	}
	if x.Outcomes > 0 {
		fmt.Fprintf(w, "the comparison reached %d of the %d ways in which the plan's blocks may end\n", x.Reached, x.Outcomes)
		for _, m := range x.Missed {
			fmt.Fprintf(w, "  not: %s\n", visible(m))
		}
		if more := x.Outcomes - x.Reached - len(x.Missed); more > 0 {
			fmt.Fprintf(w, "  and %d more\n", more)
		}
	}
}

// showPolicySource says what keeps a newer policy from being the active one.
func showPolicySource(w io.Writer, x *policyReport) {
	if r := x.Refused; r != nil {
		what := "what " + x.Place + " has"
		if r.Revision != "" {
			what = r.Revision + " of " + x.Place
		}
		fmt.Fprintf(w, "refused %s, %s: %s\n", visible(what), r.At.UTC().Format(time.RFC3339), visible(strings.TrimPrefix(strings.Join(strings.Fields(r.Error), " "), "policy refused: ")))
	}
	if x.Held != "" {
		fmt.Fprintf(w, "%s has %s, which an operator went back from\n", visible(x.Place), visible(x.Held))
	}
	if x.SourceError != "" {
		fmt.Fprintf(w, "%s has not answered since %s: %s\n", visible(x.Place), x.SourceSince.UTC().Format(time.RFC3339), visible(x.SourceError))
	}
}

func policyCoverage(ctx context.Context, args []string, s streams) int {
	f := operatorFlagSet("policy coverage", "gate policy coverage [flags]",
		"Lists the rules of the active policy and in how many evaluations on the machine each has\nheld since it was activated. What comes from the cache is not evaluated.", s)
	unused := f.Bool("unused", false, "only rules that have never held")
	if _, code, done := f.operands(args, 0, 0); done {
		return code
	}
	var out policyReport
	return f.do(s, func(c *admin.Client) (_ any, err error) {
		out, err = askPolicy(ctx, c, false)
		if *unused {
			out.Rules = slices.DeleteFunc(out.Rules, func(r policyRule) bool { return r.Held > 0 })
		}
		return out, err
	}, func(w io.Writer) { showCoverage(w, &out) })
}

func showCoverage(w io.Writer, x *policyReport) {
	if x.Evaluator != engine.Machine {
		showPolicyStatus(w, x)
		fmt.Fprintln(w, "nothing is counted while OPA's evaluator decides")
		return
	}
	t := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	fmt.Fprintln(t, "HELD\tRULE\tAT")
	slices.SortStableFunc(x.Rules, func(a, b policyRule) int { return cmp.Compare(b.Held, a.Held) })
	for _, r := range x.Rules {
		fmt.Fprintf(t, "%d\t%s\t%s\n", r.Held, visible(r.Rule), visible(r.At))
	}
	_ = t.Flush() // an output that is gone has nobody to be told
	fmt.Fprintf(w, "%d evaluations of policy %s, generation %d\n", x.Evaluations, visible(x.Revision), x.Generation)
}
