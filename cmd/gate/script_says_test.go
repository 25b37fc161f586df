package main

import (
	"io"
	"net/http"
	"regexp"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// says URL EXPR waits until the answer to a GET holds what the expression
// matches.
func says(s *testscript.TestScript, _ bool, args []string) {
	expr := regexp.MustCompile(args[1])
	client := http.Client{Timeout: 5 * time.Second}
	eventually(s, args[0]+" says "+args[1], func() bool {
		resp, err := client.Get(args[0])
		if err != nil {
			return false
		}
		body, _ := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		return expr.Match(body)
	})
}
