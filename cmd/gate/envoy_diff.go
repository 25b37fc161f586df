package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/neosc/gate/authz/route"
	"github.com/neosc/gate/authz/route/strictyaml"
	"github.com/neosc/gate/cmd/gate/internal/config"
	"github.com/neosc/gate/envoy"
)

func envoyFiles(_ context.Context, args []string, s streams) int {
	fs := flagSet("envoy files", "gate envoy files [-config gate.yaml] [-dir DIR]", "Writes the files that Envoy watches and the bootstrap that leads to them, whose path it\nprints. With envoy.files in gate.yaml a running gate keeps routes and upstreams in them\nup to date; only what concerns the listener needs this command again.", s)
	f := newEnvoyFlags(fs, "envoy.admin of gate.yaml")
	dir := fs.String("dir", "", "`folder` to write to, an absolute path as Envoy sees it (default: envoy.files of gate.yaml)")
	if code, done := fs.parse(args, 0); done {
		return code
	}
	return fail(s.err, "envoy files", func() error {
		o, err := f.options()
		if err != nil {
			return err
		}
		o.ADSSocket, o.ADS = "", nil
		if *dir != "" {
			o.Files = *dir
		}
		if o.Files == "" {
			return fmt.Errorf("nobody says where; give -dir, or envoy.files in %s", *f.file)
		}
		files, err := envoy.NewFiles(o, nil)
		if err != nil {
			return err
		}
		bootstrap, err := files.WriteAll()
		if err == nil {
			fmt.Fprintln(s.out, bootstrap)
		}
		return err
	}())
}

func envoyDiff(ctx context.Context, args []string, s streams) int {
	f := operatorFlagSet("envoy diff", "gate envoy diff [-json] [-config gate.yaml] [[OLD] NEW]", "Says what a change of the routes file does: from OLD to NEW, or from the routes that the\nrunning gate has in use to NEW, or to the file that its configuration names. What opens\npaths to everybody is marked with !!. Exit code 0: they mean the same; 1: they differ;\n2: they cannot be compared.", s)
	names, code, done := f.operands(args, 0, 2)
	if done {
		return code
	}
	files, err := f.toCompare(ctx, names)
	if err != nil {
		fmt.Fprintf(s.err, "gate envoy diff: %v\n", err)
		return exitUsage
	}
	changes := files[0].Diff(files[1])
	restart := files[0].NeedsRestart(files[1])
	if f.json {
		enc := json.NewEncoder(s.out)
		enc.SetIndent("", "  ")
		if err := enc.Encode(map[string]any{"changes": append([]route.Change{}, changes...), "needs_restart": append([]string{}, restart...)}); err != nil {
			return fail(s.err, "envoy diff", err)
		}
	} else {
		sayChanges(s.out, changes, restart)
	}
	if len(changes) > 0 {
		return exitError
	}
	return exitOK
}

// routesPath is where the running gate's routes file is, on its admin socket.
const routesPath = "/v1/routes"

// toCompare reads the named files, and takes what is not named from the running
// gate and its configuration.
func (f *operatorFlags) toCompare(ctx context.Context, names []string) (files [2]*route.File, err error) {
	if len(names) == 2 {
		if files[0], err = route.Load(names[0]); err == nil {
			files[1], err = route.Load(names[1])
		}
		return files, err
	}
	cfg, err := config.Load(f.config, os.Environ())
	if err != nil {
		return files, fmt.Errorf("%w (or give two routes files, OLD and NEW)", err)
	}
	socket, next := cfg.Listen.Admin, cfg.Routes
	if f.socket != "" {
		socket = f.socket
	}
	if len(names) == 1 {
		next = names[0]
	}
	if files[0], err = activeRoutes(ctx, socket); err == nil {
		files[1], err = route.Load(next)
	}
	return files, err
}

// activeRoutes asks a running gate for the routes that it has in use.
func activeRoutes(ctx context.Context, socket string) (*route.File, error) {
	client := &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", socket)
		},
	}}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://gate"+routesPath, nil)
	if err != nil {
		return nil, err
	}
	res, err := client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("no gate answers at %s: %w", socket, err)
	}
	defer res.Body.Close()
	data, err := io.ReadAll(io.LimitReader(res.Body, strictyaml.MaxSize+1))
	if err == nil && res.StatusCode != http.StatusOK {
		err = fmt.Errorf("status %d", res.StatusCode)
	}
	if err != nil {
		return nil, fmt.Errorf("asking the gate at %s for its routes: %w", socket, err)
	}
	return route.Parse("the running gate's routes", data)
}

func sayChanges(w io.Writer, changes []route.Change, restart []string) {
	opened := 0
	for _, c := range changes {
		mark := map[string]string{"added": "+", "removed": "-", "changed": "~"}[c.Kind]
		if c.Opens {
			mark = "!!"
			opened++
		}
		switch {
		case c.Kind == "changed" && c.Field == "":
			fmt.Fprintf(w, "%-2s %s %s: %s → %s\n", mark, c.What, c.Name, saidOrNone(c.Old), saidOrNone(c.New))
		case c.Kind == "changed":
			fmt.Fprintf(w, "%-2s %s %s: %s: %s → %s\n", mark, c.What, c.Name, c.Field, saidOrNone(c.Old), saidOrNone(c.New))
		default:
			fmt.Fprintf(w, "%-2s %s %s %s: %s\n", mark, c.What, c.Name, c.Kind, c.Old+c.New)
		}
	}
	if opened > 0 {
		fmt.Fprintf(w, "!! %d of these open paths to everybody, unasked\n", opened)
	}
	for _, key := range restart {
		fmt.Fprintf(w, "   %s takes a restart of gate and Envoy\n", key)
	}
	if len(changes) == 0 {
		fmt.Fprintln(w, "no difference")
	}
}

func saidOrNone(s string) string {
	if s == "" {
		return "(none)"
	}
	return s
}
