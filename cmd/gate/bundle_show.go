package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/neosc/gate/authz/engine"
	"github.com/neosc/gate/bundles"
	"github.com/neosc/gate/bundles/archive"
	"github.com/neosc/gate/bundles/inspect"
	"github.com/neosc/gate/cmd/gate/internal/config"
)

// bundleFlags are what the commands that look at bundles have in common.
type bundleFlags struct {
	*flags
	config, routes, scope string
	keys                  list
	json                  bool
}

func bundleFlagSet(name, usage, purpose string, s streams) *bundleFlags {
	f := &bundleFlags{flags: flagSet(name, usage, purpose, s)}
	f.StringVar(&f.config, "config", "", "configuration `file` of the gate that it is for")
	return f
}

func (f *bundleFlags) withKeys() {
	f.Var(&f.keys, "key", "`file` of public keys: PEM, JWK or JWK set; may be repeated (default: policy.verify.keys of -config)")
	f.StringVar(&f.scope, "scope", "", "`scope` that the signature must have")
}

// gate reads the configuration, nil if none is named.
func (f *bundleFlags) gate() (*config.Config, error) {
	if f.config == "" {
		return nil, nil
	}
	return loadConfig(f.config)
}

// trust is whose signatures count; nil if nobody says.
func (f *bundleFlags) trust(cfg *config.Config) (*archive.Trust, error) {
	if len(f.keys) == 0 {
		if cfg == nil {
			return nil, nil
		}
		return bundleTrust(cfg)
	}
	keys, err := archive.ReadPublicKeys(f.keys)
	if err != nil {
		return nil, err
	}
	return &archive.Trust{Keys: keys, Scope: f.scope}, nil
}

// edge is what Envoy forwards and lets be set, and the rule that decides.
func (f *bundleFlags) edge(cfg *config.Config) (engine.Edge, string, error) {
	set := &testSet{config: cfg, routes: f.routes}
	if cfg != nil {
		set.routes, set.entry = cmp.Or(f.routes, cfg.Routes), cfg.Policy.Entrypoint
	}
	e, err := set.edge()
	return e, set.entry, err
}

const verifyPurpose = `Says whether a bundle is whole and signed by a key that is trusted, and holds now. With
-config it does all that the gate of that configuration does before it activates a bundle:
it compiles the rules for the headers that its Envoy forwards, and runs the tests.`

func bundleVerify(ctx context.Context, args []string, s streams) int {
	f := bundleFlagSet("bundle verify", "gate bundle verify [-key FILE]... [-config gate.yaml] BUNDLE", verifyPurpose, s)
	f.withKeys()
	rest, code, done := f.operands(args, 1, 1)
	if done {
		return code
	}
	return fail(s.err, "bundle verify", f.verify(ctx, rest[0], s.out))
}

func (f *bundleFlags) verify(ctx context.Context, name string, w io.Writer) error {
	cfg, err := f.gate()
	if err != nil {
		return err
	}
	trust, err := f.trust(cfg)
	if err != nil {
		return err
	}
	if trust == nil && cfg == nil {
		return errors.New("give the public key with -key, or a configuration with -config")
	}
	o, err := bundles.Open(name)
	if err != nil {
		return err
	}
	if trust != nil {
		sig, err := o.Verified(trust, time.Now())
		if err != nil {
			return err
		}
		fmt.Fprintf(w, "signature  ok  %s key %s%s\n", sig.Algorithm, visible(sig.KeyID), saySignature(sig.Issuer, sig.ExpiresAt))
	} else {
		fmt.Fprintln(w, "signature  --  this gate verifies none (policy.verify.keys)")
	}
	if o.Archive != nil && o.Archive.Manifest.Sequence == 0 {
		fmt.Fprintln(w, "sequence   --  it has none: an older bundle, validly signed, can take its place (gate bundle build -sequence)")
	}
	if cfg == nil {
		return nil
	}
	e, entry, err := f.edge(cfg)
	if err != nil {
		return err
	}
	o.Source.EntryPoint = entry
	if err := checkActions(&o.Source); err != nil {
		return err
	}
	p, err := engine.Compile(o.Source, e)
	if err != nil {
		return err
	}
	fmt.Fprintf(w, "rules      ok  revision %s\n", visible(p.Revision()))
	return verifyTests(ctx, cfg, o, e, w)
}

func saySignature(issuer string, expires time.Time) string {
	out := ""
	if issuer != "" {
		out += ", by " + visible(issuer)
	}
	if !expires.IsZero() {
		out += ", until " + expires.UTC().Format(time.RFC3339)
	}
	return out
}

func verifyTests(ctx context.Context, cfg *config.Config, o *bundles.Opened, e engine.Edge, w io.Writer) error {
	if len(o.Tests) == 0 {
		fmt.Fprintln(w, "tests      --  there are none")
		return nil
	}
	n, err := bundles.RunTests(ctx, o.Source, o.Tests, e, cfg.Policy.Bundle.TestTime)
	if err == nil {
		fmt.Fprintf(w, "tests      ok  %d passed\n", n)
	}
	return err
}

func bundleInspect(_ context.Context, args []string, s streams) int {
	f := bundleFlagSet("bundle inspect", "gate bundle inspect [-key FILE]... [-json] BUNDLE|DIR",
		"Says what is in a bundle or a policy folder: revision, signer, files, rules, tests.", s)
	f.withKeys()
	f.BoolVar(&f.json, "json", false, "print JSON")
	rest, code, done := f.operands(args, 1, 1)
	if done {
		return code
	}
	return fail(s.err, "bundle inspect", func() error {
		cfg, err := f.gate()
		if err != nil {
			return err
		}
		trust, err := f.trust(cfg)
		if err != nil {
			return err
		}
		entry := ""
		if cfg != nil {
			entry = cfg.Policy.Entrypoint
		}
		o, err := bundles.Open(rest[0])
		if err != nil {
			return err
		}
		r, err := inspect.Inspect(o, entry, trust, time.Now())
		if err != nil {
			return err
		}
		out := operatorFlags{json: f.json}
		return out.print(s.out, r, func(w io.Writer) { showBundle(w, r, trust != nil) })
	}())
}

func showBundle(w io.Writer, r *inspect.Report, verified bool) {
	t := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	line := func(name, format string, args ...any) {
		fmt.Fprintf(t, "%s\t%s\n", name, visible(fmt.Sprintf(format, args...)))
	}
	if r.ID != "" {
		line("revision", "%s", orDash(r.Revision))
		if r.Sequence > 0 {
			line("sequence", "%d", r.Sequence)
		}
		line("id", "%s", r.ID)
		line("roots", "%s", strings.Join(r.Roots, ", "))
		switch {
		case r.Signature != nil:
			var until time.Time
			if r.Signature.ExpiresAt != nil {
				until = *r.Signature.ExpiresAt
			}
			line("signature", "holds: %s key %s%s", r.Signature.Algorithm, r.Signature.KeyID, saySignature(r.Signature.Issuer, until))
		case verified:
			line("signature", "!! %s", r.Problem)
		case r.Signed:
			line("signature", "not looked at: give the public key with -key")
		default:
			line("signature", "none")
		}
		line("size", "%d bytes, %d unpacked", r.Packed, r.Size)
	}
	line("entry points", "%s", orDash(strings.Join(r.EntryPoints, ", ")))
	line("rules", "%d", len(r.Rules))
	line("tests", "%d", len(r.Tests))
	_ = t.Flush() // an output that is gone has nobody to be told
	t = tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	fmt.Fprintln(t, "\nBYTES\tFILE")
	for _, f := range r.Files {
		fmt.Fprintf(t, "%d\t%s\n", f.Size, visible(f.Name))
	}
	fmt.Fprintln(t, "\nRULE\tAT")
	for _, x := range r.Rules {
		fmt.Fprintf(t, "%s\t%s\n", visible(x.Path), visible(strings.Join(x.At, " ")))
	}
	_ = t.Flush()
}
