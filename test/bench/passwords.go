package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/crypto/argon2"

	"github.com/neosc/gate/session/account"
)

const (
	passwordBlocks = 11 // the first is for warming up
	passwordBlock  = 20 // sign-ins, and hashes
	// mostBesideArgon is how much of a sign-in's CPU time may be anything but the hash.
	mostBesideArgon = 0.1
)

// measurePasswords has somebody sign in with a password through Envoy, again and
// again, and compares the CPU time of the gate's process with that of as many
// hashes of the same costs: all else that a sign-in costs, from two checks to
// entries in the trail, is to be a tenth of it at most. Blocks take turns.
func measurePasswords(ctx context.Context, r *report, s *stand) error {
	gate, err := s.startGate(ctx, gateOptions{name: "gate", more: "accounts: {passwords: on, guesses_per_minute: 6000, guess_burst: 1000}\n"})
	if err != nil {
		return err
	}
	const email, password = "passwords@example.com", "a long and quiet evening by the lake"
	add := exec.CommandContext(ctx, s.gateBin, "user", "add", email, "-role", "user", "-stdin", "-config", "gate.yaml")
	add.Dir, add.Stdin = gate.dir, strings.NewReader(password+"\n")
	if out, err := add.CombinedOutput(); err != nil {
		return fmt.Errorf("gate user add: %w: %s", err, out)
	}
	stop, err := serveUpstream(filepath.Join(gate.dir, "up.sock"))
	if err != nil {
		return err
	}
	defer stop()
	e, err := startEdge(ctx, gate.dir, gate)
	if err != nil {
		return err
	}
	defer e.stop()
	body := fmt.Sprintf(`{"email":%q,"password":%q}`, email, password)
	var rest []float64
	for block := range passwordBlocks {
		before, err := gate.cpu()
		if err != nil {
			return err
		}
		for range passwordBlock {
			if err := e.login(ctx, body); err != nil {
				return err
			}
		}
		after, err := gate.cpu()
		if err != nil {
			return err
		}
		alone, err := hashing(password)
		if err != nil {
			return err
		}
		if block > 0 {
			rest = append(rest, 1-float64(alone)/float64(after-before))
		}
	}
	r.ratio("password_signin_beside_argon2", rest, mostBesideArgon)
	return nil
}

func (e *edge) login(ctx context.Context, body string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://api.portal.kappa4.com/api/auth/login", strings.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := e.http.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	if err == nil && resp.StatusCode != http.StatusOK {
		err = errors.New("a login was answered " + resp.Status + ": " + string(b))
	}
	return err
}

// hashing is what a block's hashes of a password take by themselves.
func hashing(password string) (time.Duration, error) {
	p := account.DefaultParams()
	before, err := ownCPU()
	if err != nil {
		return 0, err
	}
	for range passwordBlock {
		argon2.IDKey([]byte(password), []byte("sixteen bytes..."), p.Passes, p.MemoryKiB, p.Threads, 32)
	}
	after, err := ownCPU()
	return after - before, err
}
