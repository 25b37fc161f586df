package envoy

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"

	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/protobuf/proto"

	"github.com/neosc/gate/authz/route"
)

// Files delivers routes and upstreams by files that Envoy watches. It writes
// beside and renames, so that Envoy never reads half a file; a change is live in
// some ms and cuts nothing. Safe for concurrent use; one process alone should
// write to a folder.
type Files struct {
	mu  sync.Mutex
	o   Options
	ask *Admin
}

// NewFiles returns what writes into o.Files. With admin, changes are seen
// through: without, Envoy is trusted to take them, as where the
// socket does not answer.
func NewFiles(o Options, admin *Admin) (*Files, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	if o.Files == "" {
		return nil, errors.New("envoy: no folder for the watched files")
	}
	return &Files{o: o, ask: admin}, nil
}

// WriteAll writes every file anew, and the bootstrap that leads to them, and
// returns its path. A change of the listener's file makes Envoy drain it, which
// cuts streams: a gate at work calls Apply instead.
func (f *Files) WriteAll() (bootstrap string, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	b := &builder{Options: f.o}
	if err := os.MkdirAll(f.o.Files, 0o750); err != nil {
		return "", fmt.Errorf("watched files: %w", err)
	}
	if err := WriteSecrets(f.o); err != nil {
		return "", err
	}
	out, err := Bootstrap(f.o)
	if err != nil {
		return "", err
	}
	text, err := RenderYAML(out)
	if err != nil {
		return "", err
	}
	err = errors.Join(
		f.put(kindClusters, f.o.Routes.Revision(), b, messages(b.clusters())...),
		f.put(kindRoutes, f.o.Routes.Revision(), b, b.routeConfiguration()),
		f.put(kindListeners, f.o.Routes.ListenerRevision(), b, b.listener()),
		f.replace(fileBootstrap, text),
	)
	return filepath.Join(f.o.Files, fileBootstrap), err
}

// Apply delivers the routes and upstreams of next, which must need no restart
// after what was delivered before (route.File.NeedsRestart): new upstreams first,
// then the routes, then away with what is not used any more. On an error Envoy
// goes on with what it had, and the files say that again. ctx bounds how long
// Envoy is waited for.
func (f *Files) Apply(ctx context.Context, next *route.File) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := roll(ctx, f, f.o, next); err != nil {
		return err
	}
	f.o.Routes = next
	return nil
}

// change implements carrier.
func (f *Files) change(ctx context.Context, kind, version string, b *builder, list ...proto.Message) error {
	var before state // nil when nobody answers
	if f.ask != nil {
		before, _ = f.ask.state(ctx)
	}
	if err := f.put(kind, version, b, list...); err != nil {
		return err
	}
	if before != nil {
		err := f.ask.await(ctx, kind, version, before)
		if err == nil && kind == kindClusters {
			err = f.ask.awaitSecrets(ctx, b, before)
		}
		if !errors.Is(err, errAway) {
			return err
		}
	}
	// Nobody to ask: Envoy is not there yet, or elsewhere.
	pause(ctx, settle)
	return nil
}

// has implements carrier.
func (f *Files) has(ctx context.Context, kind string, versions ...string) bool {
	if f.ask == nil {
		return true
	}
	s, err := f.ask.state(ctx)
	return err != nil || slices.Contains(versions, s[kind].version)
}

// put implements carrier: it writes a file in the form of xDS.
func (f *Files) put(name, version string, b *builder, list ...proto.Message) error {
	r := &discoveryv3.DiscoveryResponse{VersionInfo: version}
	for _, m := range list {
		r.Resources = append(r.Resources, b.any(m))
	}
	if b.err != nil {
		return b.err
	}
	if err := b.writeSecrets(); err != nil { // which the list leads to
		return err
	}
	text, err := renderJSON(r)
	if err != nil {
		return fmt.Errorf("rendering %s: %w", name, err)
	}
	return f.replace(name, text)
}

// replace puts a file in place as a whole. Envoy reads it as another user, of
// the folder's group.
func (f *Files) replace(name string, data []byte) error {
	path := filepath.Join(f.o.Files, name)
	tmp, err := os.CreateTemp(f.o.Files, "."+name+".*")
	if err != nil {
		return fmt.Errorf("watched files: %w", err)
	}
	_, err = tmp.Write(data)
	err = errors.Join(err, tmp.Chmod(0o640), tmp.Close())
	if err == nil {
		err = os.Rename(tmp.Name(), path)
	}
	if err != nil {
		return fmt.Errorf("watched files: %w", errors.Join(err, os.Remove(tmp.Name())))
	}
	return nil
}

// Resume brings the routes' and upstreams' files up to date, as at a start of
// the gate. stale says why the listener's file, which it leaves alone, is not
// that of the routes file; err that nobody prepared the folder, or that it
// cannot be written.
func (f *Files) Resume() (stale, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	data, err := os.ReadFile(filepath.Join(f.o.Files, kindListeners))
	if err != nil {
		return nil, fmt.Errorf("watched files: %w; prepare the folder with `gate envoy files`", err)
	}
	var listener struct {
		Version string `json:"version_info"`
	}
	if err := json.Unmarshal(data, &listener); err != nil || listener.Version != f.o.Routes.ListenerRevision() {
		stale = errors.New("the listener in Envoy's files was made from other settings of the routes file; run `gate envoy files`, which makes Envoy drain its streams")
	}
	b := &builder{Options: f.o}
	return stale, errors.Join(
		f.put(kindClusters, f.o.Routes.Revision(), b, messages(b.clusters())...),
		f.put(kindRoutes, f.o.Routes.Revision(), b, b.routeConfiguration()),
	)
}
