package route

import (
	"time"

	"github.com/neosc/gate/authz/route/strictyaml"
)

// The types here mirror the file key by key; check.go turns them into a File.

type fileYAML struct {
	strictyaml.Where
	Gate            string            `yaml:"gate,required"`
	Listen          string            `yaml:"listen"`
	TrustedHops     uint32            `yaml:"trusted_hops"`
	CheckHeaders    []string          `yaml:"check_headers"`
	SetHeaders      []string          `yaml:"set_headers"`
	ResponseHeaders []string          `yaml:"response_headers"`
	StripHeaders    []string          `yaml:"strip_headers"`
	Upstreams       map[string]string `yaml:"upstreams,required"`
	Hosts           []hostYAML        `yaml:"hosts,required"`
}

type hostYAML struct {
	strictyaml.Where
	Origin string      `yaml:"origin,required"`
	CORS   *corsYAML   `yaml:"cors"`
	Routes []routeYAML `yaml:"routes,required"`
}

type corsYAML struct {
	strictyaml.Where
	AllowOrigins  []string      `yaml:"allow_origins,required"`
	Credentials   bool          `yaml:"credentials"`
	Methods       []string      `yaml:"methods"`
	Headers       []string      `yaml:"headers"`
	ExposeHeaders []string      `yaml:"expose_headers"`
	MaxAge        time.Duration `yaml:"max_age"`
}

type routeYAML struct {
	strictyaml.Where
	Name                string         `yaml:"name,required"`
	Path                []string       `yaml:"path,oneormany"`
	Prefix              []string       `yaml:"prefix,oneormany"`
	Upstream            string         `yaml:"upstream,required"`
	Timeout             time.Duration  `yaml:"timeout"`
	IdleTimeout         time.Duration  `yaml:"idle_timeout"`
	Upgrades            []string       `yaml:"upgrades"`
	PassIdentityHeaders bool           `yaml:"pass_identity_headers"`
	PassAuthorization   bool           `yaml:"pass_authorization"`
	AllowedOrigins      []string       `yaml:"allowed_origins"`
	Policy              map[string]any `yaml:"policy"`
}
