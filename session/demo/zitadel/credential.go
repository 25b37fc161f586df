package zitadel

import (
	"context"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
	josejwt "github.com/go-jose/go-jose/v4/jwt"

	"github.com/neosc/gate/session"
	"github.com/neosc/gate/session/demo/internal/outbound"
)

const (
	maxKeyFile = 64 << 10
	maxToken   = 16 << 10
	// assertionLife is how long a signed request for a token holds; Zitadel takes
	// an hour at most.
	assertionLife = time.Minute
	// apiScope has the token be for Zitadel's own APIs.
	apiScope  = "openid urn:zitadel:iam:org:project:id:zitadel:aud"
	grantType = "urn:ietf:params:oauth:grant-type:jwt-bearer"
)

// credential gives the tokens with which a service user is let in: a personal
// access token that is read anew each time, so that it can be replaced, or
// tokens got with a key (RFC 7523, 2.1). Safe for concurrent use.
type credential struct {
	tokenFile string
	issuer    string
	place     *outbound.Place // of the token endpoint
	userID    string
	signer    jose.Signer
	clock     func() time.Time

	mu    sync.Mutex
	token string
	until time.Time
}

func newCredential(o Options) (*credential, error) {
	c := &credential{tokenFile: o.TokenFile, issuer: o.Issuer, clock: o.Clock}
	switch {
	case (o.TokenFile == "") == (o.KeyFile == ""):
		return nil, errors.New("want one of key_file and token_file")
	case o.TokenFile != "":
		_, err := c.readToken()
		return c, err
	}
	if err := c.readKey(o.KeyFile); err != nil {
		return nil, fmt.Errorf("key_file %s: %w", o.KeyFile, err)
	}
	var err error
	if c.place, err = outbound.At(o.Issuer+"/oauth/v2/token", o.Roots); err != nil {
		return nil, fmt.Errorf("issuer %w", err)
	}
	return c, nil
}

func (c *credential) readToken() (string, error) {
	b, err := session.ReadPrivate(c.tokenFile, maxToken)
	if err != nil {
		return "", fmt.Errorf("token_file %s: %w", c.tokenFile, err)
	}
	token := strings.TrimSpace(string(b))
	if token == "" || strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return "", fmt.Errorf("token_file %s: want one line with the personal access token", c.tokenFile)
	}
	return token, nil
}

// readKey reads the file that Zitadel hands out for a service user's key.
func (c *credential) readKey(path string) error {
	b, err := session.ReadPrivate(path, maxKeyFile)
	if err != nil {
		return err
	}
	var file struct {
		KeyID  string `json:"keyId"`
		Key    string `json:"key"`
		UserID string `json:"userId"`
	}
	if json.Unmarshal(b, &file) != nil || file.KeyID == "" || file.Key == "" || file.UserID == "" {
		return errors.New("is not the JSON file of a service user's key, with keyId, key and userId")
	}
	block, _ := pem.Decode([]byte(file.Key))
	if block == nil {
		return errors.New("its key is not PEM")
	}
	key, err := parseRSA(block.Bytes)
	if err != nil {
		return err
	}
	c.userID = file.UserID
	c.signer, err = jose.NewSigner(jose.SigningKey{Algorithm: jose.RS256, Key: jose.JSONWebKey{Key: key, KeyID: file.KeyID}}, (&jose.SignerOptions{}).WithType("JWT"))
	return err
}

func parseRSA(der []byte) (*rsa.PrivateKey, error) {
	key, err := x509.ParsePKCS1PrivateKey(der)
	if err != nil {
		parsed, _ := x509.ParsePKCS8PrivateKey(der)
		var ok bool
		if key, ok = parsed.(*rsa.PrivateKey); !ok {
			return nil, errors.New("its key is no RSA key")
		}
	}
	if key.N.BitLen() < 2048 {
		return nil, fmt.Errorf("its RSA key has %d bits, want 2048 or more", key.N.BitLen())
	}
	return key, nil
}

// get returns a token that holds for a while yet.
func (c *credential) get(ctx context.Context) (string, error) {
	if c.tokenFile != "" {
		return c.readToken()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.clock()
	if c.token != "" && now.Before(c.until) {
		return c.token, nil
	}
	token, life, err := c.fetch(ctx, now)
	if err != nil {
		return "", err
	}
	// Asked for anew when it is nearly over, and at least once an hour.
	c.token, c.until = token, now.Add(min(life*9/10, time.Hour))
	return token, nil
}

// drop forgets a token that was not taken.
func (c *credential) drop(token string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.token == token {
		c.token = ""
	}
}

func (c *credential) fetch(ctx context.Context, now time.Time) (string, time.Duration, error) {
	assertion, err := josejwt.Signed(c.signer).Claims(josejwt.Claims{
		Issuer: c.userID, Subject: c.userID, Audience: josejwt.Audience{c.issuer}, IssuedAt: josejwt.NewNumericDate(now), Expiry: josejwt.NewNumericDate(now.Add(assertionLife)),
	}).Serialize()
	if err != nil {
		return "", 0, err
	}
	form := url.Values{"grant_type": {grantType}, "scope": {apiScope}, "assertion": {assertion}}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.place.Target, strings.NewReader(form.Encode()))
	if err != nil {
		return "", 0, err
	}
	req.Header = http.Header{"Content-Type": {"application/x-www-form-urlencoded"}, "Accept": {"application/json"}, "User-Agent": {userAgent}}
	a, err := c.place.Do(req, maxToken, now)
	if err != nil {
		return "", 0, fmt.Errorf("a token: %w", err)
	}
	var said struct {
		Token string `json:"access_token"`
		Life  int64  `json:"expires_in"`
		Error string `json:"error"`
	}
	if err := json.Unmarshal(a.JSON, &said); a.Status != http.StatusOK || err != nil || said.Token == "" {
		return "", 0, a.Delayed(fmt.Errorf("a token: %s answered %d %s", c.place.Name, a.Status, outbound.Words(said.Error)))
	}
	return said.Token, time.Duration(min(max(said.Life, 0), 86400)) * time.Second, nil
}
