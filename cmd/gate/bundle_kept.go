package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"text/tabwriter"

	"github.com/neosc/gate/bundles"
	"github.com/neosc/gate/session/web/admin"
)

// Paths of the admin socket.
const (
	bundlesPath  = "/v1/policy/bundles"
	rollbackPath = "/v1/policy/rollback"
)

// keptReport is what a gate has of bundles.
type keptReport struct {
	// Source is where bundles come from; Trouble why it gives none, or what is wrong
	// with the one it gives; Held the revision there that an operator went back from.
	Source  string `json:"source"`
	Trouble string `json:"trouble,omitempty"`
	Held    string `json:"held,omitempty"`
	// Active is the id of the active bundle.
	Active  string               `json:"active"`
	Bundles []bundles.KeptBundle `json:"bundles"`
}

type rollbackOrder struct {
	// Revision, or id, of a kept bundle; "" is the one before.
	Revision string `json:"revision"`
}

func (a *app) showKept(w http.ResponseWriter, _ *http.Request) {
	all, active, err := a.policy.Kept()
	if err != nil {
		refuse(w, http.StatusConflict, err)
		return
	}
	s := a.policy.Status()
	out := keptReport{Source: a.policy.Place(), Active: active, Bundles: all, Held: s.Held}
	if err := errors.Join(s.LastError, sourceTrouble(&s)); err != nil {
		out.Trouble = err.Error()
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(out) // whoever asked is gone otherwise
}

func (a *app) rollback(w http.ResponseWriter, r *http.Request) {
	var order rollbackOrder
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 4<<10)).Decode(&order); err != nil {
		refuse(w, http.StatusBadRequest, fmt.Errorf("the body is no JSON object with a revision: %w", err))
		return
	}
	if _, err := a.policy.Rollback(order.Revision); err != nil {
		refuse(w, http.StatusConflict, err)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(a.activePolicy()) // whoever asked is gone otherwise
}

// refuse answers with a problem document.
func refuse(w http.ResponseWriter, status int, err error) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]any{"title": http.StatusText(status), "status": status, "detail": err.Error()})
}

func bundleList(ctx context.Context, args []string, s streams) int {
	f := operatorFlagSet("bundle list", "gate bundle list [flags]",
		"Lists the bundles that the running gate keeps, the one that was active last first; * marks\nthe active one. Times are UTC.", s)
	if _, code, done := f.operands(args, 0, 0); done {
		return code
	}
	var out keptReport
	return f.do(s, func(c *admin.Client) (any, error) {
		err := c.Get(ctx, bundlesPath, nil, &out)
		return out, err
	}, func(w io.Writer) { showKeptBundles(w, &out) })
}

func showKeptBundles(w io.Writer, x *keptReport) {
	t := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	fmt.Fprintln(t, "\tREVISION\tSEQUENCE\tSIGNED BY\tACTIVATED\tID")
	for _, b := range x.Bundles {
		mark := ""
		if b.ID == x.Active {
			mark = "*"
		}
		sequence := "-"
		if b.Sequence > 0 {
			sequence = fmt.Sprint(b.Sequence)
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\n", mark, visible(b.Revision), sequence, orDash(visible(b.Signer)), b.ActivatedAt.UTC().Format("2006-01-02 15:04:05"), b.ID)
	}
	_ = t.Flush() // an output that is gone has nobody to be told
	fmt.Fprintf(w, "they come from %s\n", visible(x.Source))
	if x.Held != "" {
		fmt.Fprintf(w, "it still has %s, which an operator went back from\n", visible(x.Held))
	}
	if x.Trouble != "" {
		fmt.Fprintf(w, "!! %s\n", visibleLines(x.Trouble))
	}
}

func bundleRollback(ctx context.Context, args []string, s streams) int {
	f := operatorFlagSet("bundle rollback", "gate bundle rollback [flags] [REVISION]",
		"Has the running gate go back to a bundle that was active, at once: the one before, or the\none of a revision or id that gate bundle list shows. The source's bundle that it goes back\nfrom does not come again by itself; a newer one does.", s)
	rest, code, done := f.operands(args, 0, 1)
	if done {
		return code
	}
	var order rollbackOrder
	if len(rest) > 0 {
		order.Revision = rest[0]
	}
	var out admin.Policy
	return f.do(s, func(c *admin.Client) (any, error) {
		err := c.Post(ctx, rollbackPath, order, &out)
		return out, err
	}, func(w io.Writer) {
		fmt.Fprintf(w, "policy %s decides now, generation %d\n", visible(out.Revision), out.Generation)
	})
}
