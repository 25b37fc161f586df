// Command gate is the policy decision point and sign-in of a zero-trust edge:
// an unmodified Envoy asks it about every request. One file here is one
// subcommand; serve.go wires the server, and nothing here decides anything.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"sort"
	"strings"
	"syscall"
	_ "time/tzdata" // policies name time zones, and a minimal image has none
)

// Exit codes, the same for every subcommand.
const (
	exitOK    = 0
	exitError = 1 // the thing asked for failed; stderr says what and the mend
	exitUsage = 2 // the command line is wrong
)

// streams are where a command reads and writes.
type streams struct {
	in       io.Reader
	out, err io.Writer
}

// command is one subcommand. run gets the arguments after its name.
type command struct {
	name, short string
	run         func(ctx context.Context, args []string, s streams) int
}

// commands lists every subcommand; each lives in the file of its name.
func commands() []command {
	return []command{
		serveCommand(), devCommand(), checkCommand(), explainCommand(), envoyCommand(), sessionCommand(), userCommand(), orgCommand(), demoCommand(), policyCommand(), bundleCommand(), keysCommand(), certsCommand(), auditCommand(), decisionsCommand(), replayCommand(), accessCommand(), backupCommand(), restoreCommand(), versionCommand(),
	}
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], streams{os.Stdin, os.Stdout, os.Stderr})
	stop()
	os.Exit(code)
}

func run(ctx context.Context, args []string, s streams) int {
	if len(args) == 0 {
		usage(s.err)
		return exitUsage
	}
	switch args[0] {
	case "-h", "-help", "--help", "help":
		usage(s.out)
		return exitOK
	}
	names := []string{}
	for _, c := range commands() {
		if c.name == args[0] {
			return c.run(ctx, args[1:], s)
		}
		names = append(names, c.name)
	}
	sort.Strings(names)
	fmt.Fprintf(s.err, "gate: there is no command %q; the commands are %s\n", args[0], strings.Join(names, ", "))
	return exitUsage
}

func usage(w io.Writer) {
	fmt.Fprint(w, "gate decides for an Envoy who may pass, and signs people in.\n\nUsage: gate COMMAND [flags]\n\n")
	listCommands(w, commands())
	fmt.Fprint(w, "\n`gate COMMAND -h` tells more. Exit codes: 0 done, 1 failed, 2 wrong usage; of commands\nthat compare: 0 the same, 1 different, 2 trouble.\n")
}
