package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/neosc/gate/session"
	"github.com/neosc/gate/session/web"
	"github.com/neosc/gate/session/web/admin"
)

func auditExport(ctx context.Context, args []string, s streams) int {
	f := operatorFlagSet("audit export", "gate audit export [flags]",
		"Writes entries of the audit trail, newest first, as CSV or NDJSON: all of them, or those that\nthe flags select. It reads page by page, so that a trail of any length takes little memory.", s)
	var question auditQuestion
	question.flags(f)
	format := f.String("format", "ndjson", "the `form` of the file: csv or ndjson")
	out := f.String("out", "-", "the `file` to make, which must not be there; - for the standard output")
	if _, code, done := f.operands(args, 0, 0); done {
		return code
	}
	q, err := question.query(time.Now())
	if err == nil && *format != "csv" && *format != "ndjson" {
		err = fmt.Errorf("-format %q is neither csv nor ndjson", *format)
	}
	if err == nil && f.json {
		err = errors.New("-json says what -format says: ndjson")
	}
	if err != nil {
		fmt.Fprintf(s.err, "gate audit export: %v\n", err)
		return exitUsage
	}
	n := 0
	return f.do(s, func(c *admin.Client) (any, error) {
		n, err = exportAudit(ctx, c, q, *format, *out, s.out)
		return nil, err
	}, func(io.Writer) {
		if *out != "-" {
			fmt.Fprintf(s.err, "%d entries are in %s\n", n, *out)
		}
	})
}

// exportAudit writes to a file of mode 0600, which is taken away again if it is not
// whole.
func exportAudit(ctx context.Context, c *admin.Client, q admin.AuditQuery, format, path string, std io.Writer) (n int, err error) {
	to := std
	if path != "-" {
		file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		if err != nil {
			return 0, err
		}
		defer func() {
			if err = errors.Join(err, file.Close()); err != nil {
				err = errors.Join(err, os.Remove(path))
			}
		}()
		to = file
	}
	w := bufio.NewWriterSize(to, 1<<16)
	write, err := web.AuditFile(w, format)
	if err != nil {
		return 0, err
	}
	err = eachAuditPage(ctx, c, q, 0, func(page []session.AuditEntry) error {
		n += len(page)
		return write(page)
	})
	return n, errors.Join(err, w.Flush())
}
