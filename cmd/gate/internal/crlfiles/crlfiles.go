// Package crlfiles reads lists of revoked certificates (RFC 5280, 5) from files,
// again when they change, and says of a certificate whether a list has it. Envoy
// looks at them when a connection begins; a connection that is open then goes on
// with what has been revoked since, unless somebody looks with every request.
package crlfiles

import (
	"context"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// Interval is how often the files are looked at. Looking, unlike watching,
	// also works on network and secret mounts; it costs some microseconds.
	Interval = time.Second
	// maxFile bounds a file: 16 MiB are some 400,000 revoked certificates.
	maxFile = 16 << 20
)

// Lists are what the files hold. Safe for concurrent use.
type Lists struct {
	log   *slog.Logger
	files []string

	now     atomic.Pointer[map[string]list]
	changes atomic.Uint64

	mu   sync.Mutex // one reading at a time; guards what follows
	seen map[string]stamp
	errs map[string]error
}

// list has what is revoked.
type list map[entry]struct{}

// entry is a certificate: its issuer's name in DER and its serial number in hex.
type entry struct{ issuer, serial string }

// stamp tells a file from one that was written or renamed over it.
type stamp struct {
	info fs.FileInfo
}

func (s stamp) same(o stamp) bool {
	if s.info == nil || o.info == nil {
		return s.info == nil && o.info == nil
	}
	return s.info.Size() == o.info.Size() && s.info.ModTime().Equal(o.info.ModTime()) && os.SameFile(s.info, o.info)
}

// New reads the files. One that is not to be had here is logged and stays a
// Problem, and revokes nothing until it is; one that is no list is an error: whoever
// put it there believes that somebody is revoked.
func New(files []string, log *slog.Logger) (*Lists, error) {
	l := &Lists{log: log, files: files, seen: map[string]stamp{}, errs: map[string]error{}}
	l.now.Store(&map[string]list{})
	l.changes.Store(1)
	l.read(true)
	for _, f := range files {
		if err := l.errs[f]; err != nil && !Unreachable(err) {
			return nil, fmt.Errorf("revoked client certificates: %w", err)
		}
	}
	return l, nil
}

// Unreachable reports whether an error says that a file is not to be had, rather
// than that there is something else in it.
func Unreachable(err error) bool {
	var place *fs.PathError
	return errors.As(err, &place)
}

// Run looks at the files until ctx is done.
func (l *Lists) Run(ctx context.Context) {
	if len(l.files) == 0 {
		<-ctx.Done()
		return
	}
	tick := time.NewTicker(Interval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			l.read(false)
		}
	}
}

// Revoked reports whether a file's list has the certificate of an issuer (its
// name in DER) with a serial number (in hex).
func (l *Lists) Revoked(file, issuer, serial string) bool {
	_, ok := (*l.now.Load())[file][entry{issuer, serial}]
	return ok
}

// Changes counts how often a list has changed, from 1.
func (l *Lists) Changes() uint64 { return l.changes.Load() }

// Problem is why lists are not as the files have them, or nil.
func (l *Lists) Problem() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	var errs []error
	for _, f := range l.files {
		errs = append(errs, l.errs[f])
	}
	return errors.Join(errs...)
}

// read takes what has changed. Of a file that is wrong the list before goes on:
// whoever was revoked stays so.
func (l *Lists) read(first bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	next := map[string]list{}
	for name, old := range *l.now.Load() {
		next[name] = old
	}
	changed := false
	for _, name := range l.files {
		var at stamp // from before the reading, so that a change in between is seen
		if info, err := os.Stat(name); err == nil {
			at = stamp{info}
		}
		if was, ok := l.seen[name]; ok && was.same(at) {
			continue
		}
		l.seen[name] = at
		read, err := readList(name)
		if l.errs[name] = err; err != nil {
			l.log.Warn("a list of revoked certificates cannot be read here: what it revokes from now on goes on by open connections until Envoy closes them", "file", name, "error", err)
			continue
		}
		next[name], changed = read, true
		if !first {
			l.log.Info("a list of revoked certificates was read again", "file", name, "revoked", len(read))
		}
	}
	if changed {
		l.now.Store(&next)
		l.changes.Add(1)
	}
}

// Count reads a file and says how many certificates it revokes.
func Count(file string) (int, error) {
	l, err := readList(file)
	return len(l), err
}

// readList reads every list in a PEM file, as Envoy does: one for each authority.
func readList(name string) (list, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	rest, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, err
	}
	if len(rest) > maxFile {
		return nil, fmt.Errorf("%s has more than %d bytes", name, maxFile)
	}
	out, found := list{}, false
	for {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		if block.Type != "X509 CRL" {
			continue
		}
		one, err := x509.ParseRevocationList(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		found = true
		for _, e := range one.RevokedCertificateEntries {
			out[entry{string(one.RawIssuer), hex.EncodeToString(e.SerialNumber.Bytes())}] = struct{}{}
		}
	}
	if !found {
		return nil, fmt.Errorf("%s holds no revocation list in PEM", name)
	}
	return out, nil
}
