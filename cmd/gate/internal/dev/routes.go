package dev

import (
	"bytes"
	_ "embed"
	"fmt"
	"text/template"
)

//go:embed routes.yaml.tmpl
var routesTemplate string

// RoutesOptions fill in the demo's routes file.
type RoutesOptions struct {
	// Port is the one in the browser's URLs.
	Port int
	// Cert and Key are the PEM files of Envoy's certificate; "" for plain HTTP.
	Cert, Key string
	// Listen is Envoy's address, host:port.
	Listen string
	// Frontend, Backend and KasmProxy are where the upstreams listen: host:port
	// or unix:/path.
	Frontend, Backend, KasmProxy string
}

// Scheme is that of the browser's URLs.
func (o RoutesOptions) Scheme() string {
	if o.Cert != "" {
		return "https"
	}
	return "http"
}

// Routes returns the demo's routes file: the four NeoSC hosts below localhost.
func Routes(o RoutesOptions) ([]byte, error) {
	t, err := template.New("routes.yaml").Option("missingkey=error").Parse(routesTemplate)
	if err != nil {
		return nil, fmt.Errorf("demo routes: %w", err)
	}
	var b bytes.Buffer
	if err := t.Execute(&b, o); err != nil {
		return nil, fmt.Errorf("demo routes: %w", err)
	}
	return b.Bytes(), nil
}
