package main

import (
	"context"
	"errors"
	"io"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/neosc/gate/authz/assertion"
	"github.com/neosc/gate/authz/observe"
)

// keyInterval is how often the key files are looked at. Replicas that share
// them need no signal so: a new key works only after ten minutes, by when all
// have it. Looking, unlike watching, also works on network and secret mounts.
const keyInterval = 10 * time.Second

// openSigner reads the signing keys, which are made on first use.
func (a *app) openSigner(context.Context, io.Writer) error {
	keys, err := assertion.ReadOrCreate(a.cfg.Identity.Keys, time.Now())
	if err != nil {
		return err
	}
	if a.signer, err = assertion.New(assertion.Options{Keys: keys, Issuer: a.routes.GateOrigin()}); err != nil {
		return err
	}
	a.keys = &keyWatch{files: []string{a.cfg.Identity.Keys, a.cfg.Cookie.Keys}}
	a.health.Add("keys", func(context.Context) error { return observe.Degraded(a.keys.problem()) })
	return nil
}

// reloadKeys reads both key files again. What is wrong with one keeps neither
// the other from being taken nor those in use from going on.
func (a *app) reloadKeys() {
	keys, err := assertion.Read(a.cfg.Identity.Keys)
	if err == nil {
		err = a.signer.SetKeys(keys)
	}
	err = errors.Join(err, a.ring.Reload())
	a.keys.set(err)
	if err != nil {
		a.log.Error("keys refused, the ones before go on", "error", err)
	}
}

// keyWatch knows the key files as they were last read. Only problem may be
// called from elsewhere than the goroutine that reloads.
type keyWatch struct {
	files  []string
	stamps []*stamp

	mu  sync.Mutex
	err error
}

func (w *keyWatch) set(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.err = err
}

// problem is why the last reload was refused, nil if it was not.
func (w *keyWatch) problem() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.err
}

// stamp tells one state of a file from another.
type stamp struct {
	modified time.Time
	size     int64
	mode     os.FileMode
	// inode is another when a file was replaced within one tick of its clock.
	inode uint64
}

// changed reports whether a file is another than at the last call; at the first
// it is.
func (w *keyWatch) changed() bool {
	if w.stamps == nil {
		w.stamps = make([]*stamp, len(w.files))
	}
	any := false
	for i, name := range w.files {
		var now *stamp // nil: no such file
		if st, err := os.Stat(name); err == nil {
			now = &stamp{modified: st.ModTime(), size: st.Size(), mode: st.Mode()}
			if sys, ok := st.Sys().(*syscall.Stat_t); ok {
				now.inode = sys.Ino
			}
		}
		was := w.stamps[i]
		if (now == nil) != (was == nil) || now != nil && *now != *was {
			any = true
		}
		w.stamps[i] = now
	}
	return any
}
