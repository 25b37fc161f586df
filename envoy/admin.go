package envoy

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Admin asks a running Envoy by its admin socket.
type Admin struct {
	client *http.Client
}

// NewAdmin returns an Admin of the socket, which need not be there yet.
func NewAdmin(socket string) *Admin {
	return &Admin{client: &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{
		MaxIdleConns: 1, IdleConnTimeout: 10 * time.Second,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", socket)
		},
	}}}
}

// maxAdminAnswer bounds what is read of the few statistics that are asked for.
const maxAdminAnswer = 64 << 10

// Statistics of what Envoy made of each watched file.
var subscriptions = map[string]string{
	fileClusters: "cluster_manager.cds.", fileRoutes: "http.edge.rds." + routeConfig + ".",
}

// rejections are how many updates Envoy has refused so far, by file.
type rejections map[string]int

func (a *Admin) rejections(ctx context.Context) (rejections, error) {
	s, err := a.state(ctx)
	if err != nil {
		return nil, err
	}
	out := rejections{}
	for name, x := range s {
		out[name] = x.rejected
	}
	return out, nil
}

// subscription is how far Envoy got with one file.
type subscription struct {
	version  string
	rejected int
}

func (a *Admin) state(ctx context.Context) (map[string]subscription, error) {
	const filter = "%5E(cluster_manager%5C.cds%7Chttp%5C.edge%5C.rds%5C.edge)%5C.(version_text%7Cupdate_rejected)$"
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://envoy/stats?filter="+filter, nil)
	if err != nil {
		return nil, err
	}
	res, err := a.client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errAway, err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("asking Envoy: status %d", res.StatusCode)
	}
	out := map[string]subscription{}
	lines := bufio.NewScanner(io.LimitReader(res.Body, maxAdminAnswer))
	for lines.Scan() {
		key, value, _ := strings.Cut(lines.Text(), ": ")
		for name, prefix := range subscriptions {
			what, ok := strings.CutPrefix(key, prefix)
			if !ok {
				continue
			}
			s := out[name]
			if what == "version_text" {
				s.version = strings.Trim(value, `"`)
			} else if s.rejected, err = strconv.Atoi(value); err != nil {
				return nil, fmt.Errorf("asking Envoy: %w", err)
			}
			out[name] = s
		}
	}
	return out, lines.Err()
}

// errAway says that the admin socket does not answer.
var errAway = errors.New("envoy does not answer")

// errRefused says that Envoy did not take a change; its log says why.
var errRefused = errors.New("envoy refuses the change; its log says why")

// await returns when Envoy has taken a version of a file, or refused it.
func (a *Admin) await(ctx context.Context, file, version string, before rejections) error {
	for wait := time.Millisecond; ; wait = min(2*wait, 50*time.Millisecond) {
		s, err := a.state(ctx)
		switch {
		case err != nil:
			return err
		case s[file].version == version:
			return nil
		case s[file].rejected > before[file]:
			return errRefused
		case ctx.Err() != nil:
			return fmt.Errorf("envoy has not taken the change: %w", ctx.Err())
		}
		pause(ctx, wait)
	}
}
