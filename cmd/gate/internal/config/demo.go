package config

import (
	"errors"
	"path/filepath"
	"regexp"
	"slices"
	"time"
)

// Demo is just-in-time access to workspaces. Without kinds there is none.
type Demo struct {
	// Kinds are the kinds of workspaces that can be asked for.
	Kinds []DemoKind `yaml:"kinds"`
	Caps  DemoCaps   `yaml:"caps"`
	// Extension is how much longer than its kind's duration an administrator can
	// let a demo session last in all.
	Extension time.Duration `yaml:"extension"`
	// Pending is for how long a request waits for an administrator.
	Pending time.Duration `yaml:"pending"`
	// Keep is how long demo sessions are listed after they have ended.
	Keep time.Duration `yaml:"keep"`
	// Sweep is how often it is looked for what no demo session owns.
	Sweep time.Duration `yaml:"sweep"`
	// Steps make what a demo session needs, in this order, and take it away.
	Steps []DemoStep `yaml:"steps"`
	// EndOrder names all steps in the order in which they take away; left out, it
	// is the one opposite to that of their beginning.
	EndOrder []string `yaml:"end_order"`
	// Actions are the targets of Zitadel's Actions that POST /zitadel/actions
	// answers; without any there is no such address.
	Actions []DemoActions `yaml:"actions"`
}

// DemoKind is a kind of workspace.
type DemoKind struct {
	// Name is what requests and the claim neosc:workspace_type say.
	Name string `yaml:"name,required"`
	// Title and Description are what people read.
	Title       string `yaml:"title"`
	Description string `yaml:"description"`
	// MaxDuration is the longest, and what is given if nothing else is asked for;
	// 30m if left out.
	MaxDuration time.Duration `yaml:"max_duration"`
	// Approval has an administrator agree first.
	Approval bool `yaml:"approval"`
}

// DemoCaps bound how many demo sessions there may be at once, requests that wait
// among them; 0 is no bound.
type DemoCaps struct {
	User         int `yaml:"user"`
	Organization int `yaml:"organization"`
	Address      int `yaml:"address"`
	All          int `yaml:"all"`
}

// Kinds of steps.
const (
	StepWebhook = "webhook"
	StepZitadel = "zitadel"
)

// DemoStep makes something for a demo session, and takes it away again.
type DemoStep struct {
	Name string `yaml:"name,required"`
	// Kind is webhook or zitadel.
	Kind string `yaml:"kind,required"`
	// Timeout bounds each call. A start that fails is tried again so often, after
	// Backoff, which doubles; an end is tried until it is done.
	Timeout time.Duration `yaml:"timeout"`
	Retries int           `yaml:"retries"`
	Backoff time.Duration `yaml:"backoff"`
	// URL is where webhooks go, and SecretsFile has what they are signed with.
	URL         string `yaml:"url"`
	SecretsFile string `yaml:"secrets_file"`
	// Provider is the id of a provider that is a Zitadel, at which people get the
	// role for a while: in its organization and project, by a service user whose
	// key is in KeyFile, or whose access token in TokenFile. Group marks the roles
	// that are this gate's.
	Provider       string `yaml:"provider"`
	OrganizationID string `yaml:"organization_id"`
	ProjectID      string `yaml:"project_id"`
	KeyFile        string `yaml:"key_file"`
	TokenFile      string `yaml:"token_file"`
	Group          string `yaml:"group"`
}

func defaultDemo() Demo {
	return Demo{
		Caps: DemoCaps{User: 1, Organization: 20, Address: 20, All: 200}, Extension: 30 * time.Minute,
		Pending: 24 * time.Hour, Keep: 30 * 24 * time.Hour, Sweep: time.Minute,
	}
}

const (
	defaultDemoDuration = 30 * time.Minute
	maxDemoDuration     = 7 * 24 * time.Hour
)

var demoName = regexp.MustCompile(`^[a-z][a-z0-9_-]{0,31}$`)

func (c *Config) checkDemo(dir string) error {
	d := &c.Demo
	for _, r := range []struct {
		key         string
		value       time.Duration
		least, most time.Duration
	}{
		{"extension", d.Extension, 0, maxDemoDuration}, {"pending", d.Pending, time.Minute, 30 * 24 * time.Hour},
		{"keep", d.Keep, time.Hour, 10 * 365 * 24 * time.Hour}, {"sweep", d.Sweep, time.Second, time.Hour},
	} {
		if r.value < r.least || r.value > r.most {
			return c.errf("demo."+r.key, "must be from %s to %s", r.least, r.most)
		}
	}
	for key, n := range map[string]int{"user": d.Caps.User, "organization": d.Caps.Organization, "address": d.Caps.Address, "all": d.Caps.All} {
		if n < 0 || n > 1_000_000 {
			return c.errf("demo.caps."+key, "must be from 0 (no bound) to 1000000")
		}
	}
	if len(d.Kinds) == 0 && len(d.Steps) > 0 {
		return c.errf("demo.kinds", "is empty, but there are steps: name a kind of workspace")
	}
	if err := c.checkDemoKinds(); err != nil {
		return err
	}
	return errors.Join(c.checkDemoSteps(dir), c.checkDemoActions(dir))
}

func (c *Config) checkDemoKinds() error {
	seen := map[string]bool{}
	for i := range c.Demo.Kinds {
		k := &c.Demo.Kinds[i]
		if k.MaxDuration == 0 {
			k.MaxDuration = defaultDemoDuration
		}
		if k.Title == "" {
			k.Title = k.Name
		}
		switch {
		case !demoName.MatchString(k.Name):
			return c.errf("demo.kinds", "has %q: a name is 1 to 32 of a-z, 0-9, _ and -, a letter first", k.Name)
		case seen[k.Name]:
			return c.errf("demo.kinds", "has %s twice", k.Name)
		case k.MaxDuration < time.Second || k.MaxDuration > maxDemoDuration:
			return c.errf("demo.kinds", "has %s with a max_duration of %s; it must be from 1s to %s", k.Name, k.MaxDuration, maxDemoDuration)
		case len(k.Title) > 100 || len(k.Description) > 500:
			return c.errf("demo.kinds", "has %s with a title of more than 100 bytes, or a description of more than 500", k.Name)
		}
		seen[k.Name] = true
	}
	return nil
}

func (c *Config) checkDemoSteps(dir string) error {
	var names []string
	for i := range c.Demo.Steps {
		s := &c.Demo.Steps[i]
		switch {
		case !demoName.MatchString(s.Name):
			return c.errf("demo.steps", "has %q: a name is 1 to 32 of a-z, 0-9, _ and -, a letter first", s.Name)
		case slices.Contains(names, s.Name):
			return c.errf("demo.steps", "has %s twice", s.Name)
		case s.Kind != StepWebhook && s.Kind != StepZitadel:
			return c.errf("demo.steps", "has %s of the kind %q; there are webhook and zitadel", s.Name, s.Kind)
		case s.Timeout < 0 || s.Timeout > 5*time.Minute || s.Backoff < 0 || s.Backoff > time.Minute || s.Retries < 0 || s.Retries > 100:
			return c.errf("demo.steps", "has %s with a timeout above 5m, a backoff above 1m, or retries that are not 0 to 100", s.Name)
		case s.Kind == StepWebhook && (s.URL == "" || s.SecretsFile == ""):
			return c.errf("demo.steps", "has %s, which needs url and secrets_file", s.Name)
		case s.Kind == StepZitadel && (s.ProjectID == "" || s.OrganizationID == "" || (s.KeyFile == "") == (s.TokenFile == "")):
			return c.errf("demo.steps", "has %s, which needs organization_id, project_id and either key_file or token_file", s.Name)
		case s.Kind == StepZitadel && !slices.ContainsFunc(c.Providers, func(p Provider) bool { return p.ID == s.Provider }):
			return c.errf("demo.steps", "has %s, whose provider %q is none of providers", s.Name, s.Provider)
		}
		for _, p := range []*string{&s.SecretsFile, &s.KeyFile, &s.TokenFile} {
			if *p != "" && !filepath.IsAbs(*p) {
				*p = filepath.Join(dir, *p)
			}
		}
		names = append(names, s.Name)
	}
	if c.Demo.EndOrder == nil {
		return nil
	}
	if !slices.Equal(slices.Sorted(slices.Values(names)), slices.Sorted(slices.Values(c.Demo.EndOrder))) {
		return c.errf("demo.end_order", "must name each of the steps %q once", names)
	}
	return nil
}
