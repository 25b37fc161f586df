// Command provisioner makes the workspaces of demo grants and takes them away.
// It is a program of its own, so that the gate holds neither an engine's socket
// nor a network's keys: it gets signed messages from the gate and does nothing
// but what they can say. It shares no code with the gate.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"
	"time"

	"github.com/neosc/gate/cmd/provisioner/internal/config"
)

// Exit codes.
const (
	exitOK    = 0
	exitError = 1
	exitUsage = 2
)

const usage = `Usage: provisioner -config provisioner.yaml [-check | -ready]

Makes the containers of demo grants, and takes them and their network peers
away, as the gate's signed webhooks say. It needs a Docker Engine's socket.

Flags:
`

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

func run(ctx context.Context, args []string, out, errs io.Writer) int {
	fs := flag.NewFlagSet("provisioner", flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	file := fs.String("config", "/etc/neosc-provisioner/provisioner.yaml", "the configuration `file`")
	check := fs.Bool("check", false, "say whether the configuration and its secrets are right, and end")
	ready := fs.Bool("ready", false, "ask the running provisioner whether it is ready, and end")
	version := fs.Bool("version", false, "print the version, and end")
	err := fs.Parse(args)
	if errors.Is(err, flag.ErrHelp) {
		fmt.Fprint(out, usage)
		fs.SetOutput(out)
		fs.PrintDefaults()
		return exitOK
	}
	if err != nil {
		fmt.Fprintf(errs, "provisioner: %s; see provisioner -h\n", err)
		return exitUsage
	}
	switch {
	case fs.NArg() > 0:
		fmt.Fprintf(errs, "provisioner: unexpected argument %q; see provisioner -h\n", fs.Arg(0))
		return exitUsage
	case *version:
		v := "devel"
		if b, ok := debug.ReadBuildInfo(); ok {
			v = b.Main.Version
		}
		fmt.Fprintln(out, "provisioner", v)
		return exitOK
	}
	c, err := config.Load(*file)
	if err == nil {
		switch {
		case *check:
			err = checked(c, out)
		case *ready:
			err = askReady(ctx, c.Listen.Ops)
		default:
			err = serve(ctx, c, slog.New(slog.NewJSONHandler(errs, nil)))
		}
	}
	if err != nil {
		fmt.Fprintf(errs, "provisioner: %v\n", err)
		return exitError
	}
	return exitOK
}

// checked reads what a start would read.
func checked(c *config.Config, out io.Writer) error {
	if _, err := c.ReadSecrets(); err != nil {
		return err
	}
	if c.NetBird.URL != "" {
		if _, err := c.ReadToken(); err != nil {
			return err
		}
	}
	if _, err := tlsConfig(c.Listen); err != nil {
		return err
	}
	fmt.Fprintf(out, "the configuration is right: %d workspace types\n", len(c.Workspaces))
	return nil
}

// askReady is for health checks in images without a shell.
func askReady(ctx context.Context, ops string) error {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+ops+"/readyz", nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if b, err := io.ReadAll(io.LimitReader(resp.Body, 1<<10)); resp.StatusCode != http.StatusOK {
		return fmt.Errorf("not ready: %s %v", b, err)
	}
	return nil
}
