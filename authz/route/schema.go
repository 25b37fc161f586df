package route

import (
	"time"

	"github.com/neosc/gate/authz/route/strictyaml"
)

// The types here mirror the file key by key; check*.go turn them into a File.

type fileYAML struct {
	strictyaml.Where
	Gate            string                  `yaml:"gate,required"`
	Listen          string                  `yaml:"listen"`
	TLS             *serverTLSYAML          `yaml:"tls"`
	HSTS            *hstsYAML               `yaml:"hsts"`
	TrustedHops     uint32                  `yaml:"trusted_hops"`
	CheckHeaders    []string                `yaml:"check_headers"`
	SetHeaders      []string                `yaml:"set_headers"`
	ResponseHeaders []string                `yaml:"response_headers"`
	StripHeaders    []string                `yaml:"strip_headers"`
	Shields         *shieldsYAML            `yaml:"shields"`
	Upstreams       map[string]upstreamYAML `yaml:"upstreams,required"`
	Hosts           []hostYAML              `yaml:"hosts,required"`
}

// upstreamYAML is a mapping, or its address alone.
type upstreamYAML struct {
	strictyaml.Where
	Address        []string         `yaml:"address,oneormany,required,short"`
	Protocol       string           `yaml:"protocol"`
	ConnectTimeout time.Duration    `yaml:"connect_timeout"`
	HealthCheck    *healthYAML      `yaml:"health_check"`
	TLS            *upstreamTLSYAML `yaml:"tls"`
}

type healthYAML struct {
	strictyaml.Where
	Path      string        `yaml:"path,required"`
	Host      string        `yaml:"host"`
	Interval  time.Duration `yaml:"interval"`
	Timeout   time.Duration `yaml:"timeout"`
	Healthy   uint32        `yaml:"healthy"`
	Unhealthy uint32        `yaml:"unhealthy"`
	Statuses  []uint32      `yaml:"statuses"`
}

type upstreamTLSYAML struct {
	strictyaml.Where
	CA         string   `yaml:"ca,required"`
	ServerName string   `yaml:"server_name"`
	SANs       []string `yaml:"san,oneormany"`
	Cert       string   `yaml:"cert"`
	Key        string   `yaml:"key"`
}

type hostYAML struct {
	strictyaml.Where
	Origin             string                  `yaml:"origin,required"`
	TLS                *serverTLSYAML          `yaml:"tls"`
	ClientCertificates *clientCertificatesYAML `yaml:"client_certificates"`
	CORS               *corsYAML               `yaml:"cors"`
	Routes             []routeYAML             `yaml:"routes,required"`
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
	Name     string   `yaml:"name,required"`
	Path     []string `yaml:"path,oneormany"`
	Prefix   []string `yaml:"prefix,oneormany"`
	Regex    []string `yaml:"regex,oneormany"`
	Priority int      `yaml:"priority"`
	Public   bool     `yaml:"public"`

	Upstream  string            `yaml:"upstream"`
	Upstreams map[string]uint32 `yaml:"upstreams"`
	Redirect  *redirectYAML     `yaml:"redirect"`
	Respond   *respondYAML      `yaml:"respond"`

	Rewrite     *rewriteYAML  `yaml:"rewrite"`
	Timeout     time.Duration `yaml:"timeout"`
	IdleTimeout time.Duration `yaml:"idle_timeout"`
	Retries     *retriesYAML  `yaml:"retries"`
	Upgrades    []string      `yaml:"upgrades"`

	PassIdentityHeaders bool           `yaml:"pass_identity_headers"`
	PassAuthorization   bool           `yaml:"pass_authorization"`
	AllowedOrigins      []string       `yaml:"allowed_origins"`
	Policy              map[string]any `yaml:"policy"`
}

type redirectYAML struct {
	strictyaml.Where
	Origin     string `yaml:"origin"`
	Path       string `yaml:"path"`
	Prefix     string `yaml:"prefix"`
	Status     uint32 `yaml:"status"`
	StripQuery bool   `yaml:"strip_query"`
}

type respondYAML struct {
	strictyaml.Where
	Status      uint32 `yaml:"status,required"`
	Body        string `yaml:"body"`
	ContentType string `yaml:"content_type"`
}

type rewriteYAML struct {
	strictyaml.Where
	Host   string `yaml:"host"`
	Path   string `yaml:"path"`
	Prefix string `yaml:"prefix"`
}

type retriesYAML struct {
	strictyaml.Where
	Attempts      uint32        `yaml:"attempts,required"`
	On            []string      `yaml:"on,oneormany"`
	PerTryTimeout time.Duration `yaml:"per_try_timeout"`
}
