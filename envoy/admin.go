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

	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
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

// maxAdminAnswer bounds what is read of the few statistics that are asked for:
// some for each upstream with certificates.
const maxAdminAnswer = 4 << 20

// Statistics of what Envoy made of each kind, and of each file that names
// certificates.
var subscriptions = map[string]string{
	kindClusters: "cluster_manager.cds.", kindRoutes: "http.edge.rds." + routeConfig + ".",
}

const statsFilter = "%5E(cluster_manager%5C.cds%7Chttp%5C.edge%5C.rds%5C.edge%7Csds%5C.tls-.*)%5C.(version_text%7Cupdate_rejected%7Cupdate_success)$"

// subscription is how far Envoy got with one kind, or one secret.
type subscription struct {
	version         string
	rejected, taken int
}

// state is how far Envoy got, by kind, and by secret's name.
type state map[string]subscription

func (a *Admin) state(ctx context.Context) (state, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://envoy/stats?filter="+statsFilter, nil)
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
	out := state{}
	lines := bufio.NewScanner(io.LimitReader(res.Body, maxAdminAnswer))
	for lines.Scan() {
		key, value, _ := strings.Cut(lines.Text(), ": ")
		name, what := subscriptionOf(key)
		s := out[name]
		switch what {
		case "version_text":
			s.version = strings.Trim(value, `"`)
		case "update_rejected":
			s.rejected, err = strconv.Atoi(value)
		case "update_success":
			s.taken, err = strconv.Atoi(value)
		}
		if err != nil {
			return nil, fmt.Errorf("asking Envoy: %w", err)
		}
		out[name] = s
	}
	return out, lines.Err()
}

// subscriptionOf tells what a statistic is about.
func subscriptionOf(key string) (name, what string) {
	for name, prefix := range subscriptions {
		if what, ok := strings.CutPrefix(key, prefix); ok {
			return name, what
		}
	}
	i := strings.LastIndexByte(key, '.')
	return strings.TrimPrefix(key[:max(i, 0)], "sds."), key[i+1:]
}

// errAway says that the admin socket does not answer.
var errAway = errors.New("envoy does not answer")

// ErrUnexplained says that Envoy did not take a change, and that its log alone
// says why: its admin interface tells it of listeners only.
var ErrUnexplained = errors.New("envoy refuses the change; its log says why")

// await returns when Envoy has taken a version of a kind, or refused it.
func (a *Admin) await(ctx context.Context, kind, version string, before state) error {
	for wait := time.Millisecond; ; wait = min(2*wait, 50*time.Millisecond) {
		s, err := a.state(ctx)
		switch {
		case err != nil:
			return err
		case s[kind].version == version:
			return nil
		case s[kind].rejected > before[kind].rejected:
			return ErrUnexplained
		case ctx.Err() != nil:
			return fmt.Errorf("envoy has not taken the change: %w", ctx.Err())
		}
		pause(ctx, wait)
	}
}

// awaitSecrets returns when Envoy has read all certificates of the upstreams that
// it has just taken, or could not read one: it takes such an upstream, and fails
// every connection to it.
func (a *Admin) awaitSecrets(ctx context.Context, b *builder, before state) error {
	for wait := time.Millisecond; ; wait = min(2*wait, 50*time.Millisecond) {
		s, err := a.state(ctx)
		if err != nil {
			return err
		}
		pending := ""
		for _, secret := range b.secrets {
			switch now := s[secret.Name]; {
			case now.rejected > before[secret.Name].rejected:
				return fmt.Errorf("envoy refuses the change: it cannot use %s", filesOf(secret))
			case now.taken+now.rejected == 0:
				pending = secret.Name
			}
		}
		switch {
		case pending == "":
			return nil
		case ctx.Err() != nil:
			return fmt.Errorf("envoy has not taken the change: it has not read %s: %w", pending, ctx.Err())
		}
		pause(ctx, wait)
	}
}

// filesOf names the files of a secret.
func filesOf(s *tlsv3.Secret) string {
	if v := s.GetValidationContext(); v != nil {
		return "the authorities of " + v.GetTrustedCa().GetFilename()
	}
	return fmt.Sprintf("the certificate %s with the key %s", s.GetTlsCertificate().GetCertificateChain().GetFilename(), s.GetTlsCertificate().GetPrivateKey().GetFilename())
}
