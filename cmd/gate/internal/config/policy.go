package config

import (
	"path/filepath"
	"time"
)

// Policy is where the rules come from and what runs them.
type Policy struct {
	// Path is a directory of Rego and data, or a bundle file, watched; empty means
	// bundle.url, or the rules built into gate.
	Path string `yaml:"path"`
	// Bundle is a server of bundles, Verify whose bundles are taken.
	Bundle     PolicyBundle `yaml:"bundle"`
	Verify     PolicyVerify `yaml:"verify"`
	Entrypoint string       `yaml:"entrypoint"`
	// Timeout ends an evaluation that takes longer, as a 503. The default is a
	// thousand times the usual, since it counts waiting for a core as well, and
	// a quarter of what the edge waits.
	Timeout time.Duration `yaml:"timeout"`
	// Engine is auto, which runs the rules on the gate's own machine once that
	// has shown to decide as OPA's evaluator does, or opa, which leaves them to
	// OPA's evaluator.
	Engine string `yaml:"engine"`
	// CacheMiB bounds the decisions that are remembered; 0 remembers none.
	CacheMiB int `yaml:"cache_mib"`
	// State is the folder for what the comparison of the two found; empty means
	// that of session.path.
	State string `yaml:"state"`
}

// Engines.
const (
	EngineAuto = "auto"
	EngineOPA  = "opa"
)

func defaultPolicy() Policy {
	return Policy{
		Entrypoint: "neosc/authz/decision", Timeout: 250 * time.Millisecond, Engine: EngineAuto, CacheMiB: 64,
		Bundle: PolicyBundle{Poll: time.Minute, Wait: 5 * time.Minute, Keep: 10, TestTime: 2 * time.Minute},
	}
}

func (c *Config) checkPolicy() error {
	p := &c.Policy
	switch {
	case p.Entrypoint == "":
		return c.errf("policy.entrypoint", "is empty; the default is neosc/authz/decision")
	case p.Timeout < time.Millisecond || p.Timeout > time.Second:
		return c.errf("policy.timeout", "must be from 1ms to 1s (the edge waits 1s)")
	case p.Engine != EngineAuto && p.Engine != EngineOPA:
		return c.errf("policy.engine", "must be auto or opa")
	case p.CacheMiB < 0 || p.CacheMiB > 16<<10:
		return c.errf("policy.cache_mib", "must be from 0 (off) to 16384")
	}
	return c.checkBundle()
}

// complete makes the state folder absolute; session.path is already.
func (p *Policy) complete(dir, sessions string) {
	p.Bundle.complete(dir)
	p.Verify.complete(dir)
	switch {
	case p.State == "" && sessions == "":
		p.State = dir
	case p.State == "":
		p.State = filepath.Dir(sessions)
	case !filepath.IsAbs(p.State):
		p.State = filepath.Join(dir, p.State)
	}
}
