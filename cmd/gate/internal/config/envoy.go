package config

import "path/filepath"

// Envoy says how a running Envoy gets changes of the routes file.
type Envoy struct {
	// Files is the folder of the files that Envoy watches, which `gate envoy
	// files` prepares; empty means that Envoy has everything from its bootstrap.
	Files string `yaml:"files"`
	// Admin is the Unix socket of Envoy's admin interface, by which the gate sees
	// whether Envoy took a change; envoy-admin.sock beside listen.authz.
	Admin string `yaml:"admin"`
}

// complete makes paths absolute and fills in the socket.
func (e *Envoy) complete(dir, authz string) {
	if e.Admin == "" {
		e.Admin = filepath.Join(filepath.Dir(authz), "envoy-admin.sock")
	}
	for _, p := range []*string{&e.Files, &e.Admin} {
		if *p != "" && !filepath.IsAbs(*p) {
			*p = filepath.Join(dir, *p)
		}
	}
}
