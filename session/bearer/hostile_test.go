package bearer_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
)

func TestClaimsThatDoNotHold(t *testing.T) {
	for name, c := range map[string]struct {
		change map[string]any
		reason string
	}{
		"NoIssuer":                  {map[string]any{"iss": nil}, "issuer"},
		"EmptyIssuer":               {map[string]any{"iss": ""}, "issuer"},
		"OtherIssuer":               {map[string]any{"iss": "https://evil.example"}, "issuer"},
		"IssuerAsAList":             {map[string]any{"iss": []string{"x"}}, "issuer"},
		"ForeignAudience":           {map[string]any{"aud": "other"}, "audience"},
		"ForeignAudiences":          {map[string]any{"aud": []string{"other", "client"}}, "audience"},
		"NoAudience":                {map[string]any{"aud": nil}, "audience"},
		"EmptyAudiences":            {map[string]any{"aud": []string{}}, "audience"},
		"AudienceAsAnObject":        {map[string]any{"aud": map[string]any{audience: true}}, "audience"},
		"AudienceInOtherCase":       {map[string]any{"aud": strings.ToUpper(audience)}, "audience"},
		"AudienceWithASlash":        {map[string]any{"aud": audience + "/"}, "audience"},
		"Expired":                   {map[string]any{"exp": base.Add(-time.Hour).Unix()}, "expired"},
		"ExpiringNow":               {map[string]any{"exp": base.Unix()}, "expired"},
		"NoExpiry":                  {map[string]any{"exp": nil}, "time"},
		"ExpiryAsText":              {map[string]any{"exp": fmt.Sprint(base.Add(time.Hour).Unix())}, "time"},
		"ExpiryInMilliseconds":      {map[string]any{"exp": base.Add(time.Hour).UnixMilli()}, "time"},
		"ExpiryBeyondNumbers":       {map[string]any{"exp": json.Number("1e400")}, "time"},
		"NegativeExpiry":            {map[string]any{"exp": -1}, "time"},
		"IssuedInTheFuture":         {map[string]any{"iat": base.Add(31 * time.Second).Unix()}, "time"},
		"NotYetValid":               {map[string]any{"nbf": base.Add(31 * time.Second).Unix()}, "time"},
		"NotBeforeAsText":           {map[string]any{"nbf": "0"}, "time"},
		"IssuedAsNull":              {map[string]any{"iat": json.RawMessage("null")}, "time"},
		"NoSubject":                 {map[string]any{"sub": nil}, "identity"},
		"EmptySubject":              {map[string]any{"sub": ""}, "identity"},
		"RoleWithAComma":            {map[string]any{"roles": []string{"user,admin"}}, "identity"},
		"RoleWithALineBreak":        {map[string]any{"roles": []string{"user\r\nx: y"}}, "identity"},
		"IDTokenByNonce":            {map[string]any{"nonce": "n"}, "type"},
		"IDTokenByEmptyNonce":       {map[string]any{"nonce": ""}, "type"},
		"IDTokenByHash":             {map[string]any{"at_hash": "h"}, "type"},
		"IDTokenByCodeHash":         {map[string]any{"c_hash": "h"}, "type"},
		"IDTokenByClaim":            {map[string]any{"typ": "ID"}, "type"},
		"IDTokenByUse":              {map[string]any{"token_use": "id"}, "type"},
		"RefreshTokenByClaim":       {map[string]any{"typ": "Refresh"}, "type"},
		"LogoutToken":               {map[string]any{"events": map[string]any{"http://schemas.openid.net/event/backchannel-logout": map[string]any{}}}, "type"},
		"BoundToAKeyOfTheClient":    {map[string]any{"cnf": map[string]any{"jkt": "x"}}, "bound"},
		"BoundToAClientCertificate": {map[string]any{"cnf": map[string]any{"x5t#S256": "x"}}, "bound"},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, nil)
			r.refuse(t, r.token(t, c.change), c.reason)
		})
	}
}

func TestClaimsThatHold(t *testing.T) {
	for name, change := range map[string]map[string]any{
		"OneAudience":          {"aud": audience},
		"ClockOfTheirsAhead":   {"iat": base.Add(29 * time.Second).Unix(), "nbf": base.Add(29 * time.Second).Unix()},
		"LastSecond":           {"exp": base.Add(time.Second).Unix()},
		"FractionOfASecond":    {"exp": json.Number(fmt.Sprintf("%d.5", base.Unix()))},
		"NoIssueTime":          {"iat": nil, "nbf": nil},
		"WithoutATokenID":      {"jti": nil},
		"BearerByClaim":        {"typ": "Bearer"},
		"AccessByUse":          {"token_use": "access"},
		"ManyForeignAudiences": {"aud": append(make([]string, 200), audience)},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, nil)
			r.accept(t, r.token(t, change))
		})
	}
}

func TestIssuersAreComparedToTheLetter(t *testing.T) {
	r := newRig(t, nil)
	for _, iss := range []string{r.idp.URL + "/", strings.Replace(r.idp.URL, "http:", "HTTP:", 1), " " + r.idp.URL, r.idp.URL + "/.", r.idp.URL + "?", r.idp.URL + "#", strings.Replace(r.idp.URL, "127.0.0.1", "localhost", 1)} {
		r.refuse(t, r.token(t, map[string]any{"iss": iss}), "issuer")
	}
	if n := r.idp.jwks.Load() + r.idp.metadata.Load(); n != 0 {
		t.Errorf("%d requests for tokens that belong to nobody", n)
	}
}

func TestHeadersThatDoNotHold(t *testing.T) {
	evil := newECKey("k1")
	for name, c := range map[string]struct {
		header map[string]any
		reason string
	}{
		"LogoutType":        {map[string]any{"typ": "logout+jwt"}, "type"},
		"SecurityEventType": {map[string]any{"typ": "secevent+jwt"}, "type"},
		"ProofType":         {map[string]any{"typ": "dpop+jwt"}, "type"},
		"PlainType":         {map[string]any{"typ": "JWT"}, "type"},
		"NoType":            {map[string]any{"typ": nil}, "type"},
		"NumericType":       {map[string]any{"typ": 7}, "form"},
		"Critical":          {map[string]any{"crit": []string{"exp"}}, "header"},
		"Unencoded":         {map[string]any{"b64": false}, "header"},
		"Zipped":            {map[string]any{"zip": "DEF"}, "header"},
		"Encrypted":         {map[string]any{"enc": "A256GCM"}, "header"},
		"NumericKeyID":      {map[string]any{"kid": 7}, "form"},
		"UnknownKeyID":      {map[string]any{"kid": "k2"}, "key"},
		"PathAsKeyID":       {map[string]any{"kid": "../../../dev/null"}, "key"},
		"LongKeyID":         {map[string]any{"kid": strings.Repeat("k", 257)}, "form"},
		"LongHeader":        {map[string]any{"x": strings.Repeat("k", 8<<10)}, "form"},
		"ItsOwnKey":         {map[string]any{"jwk": jose.JSONWebKey{Key: evil.private.Public(), KeyID: "k1"}}, "signature"},
		"ItsOwnKeySet":      {map[string]any{"jku": "https://evil.example/keys"}, "signature"},
		"ItsOwnCertificate": {map[string]any{"x5u": "https://evil.example/cert", "x5c": []string{"AAAA"}}, "signature"},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, nil)
			k := r.key
			if c.reason == "signature" {
				k = evil // the header names the key that really signed
			}
			r.refuse(t, k.sign(t, c.header, r.claims(nil)), c.reason)
		})
	}
}

// TestKeysInAHeaderAreNeverFetched has the header of a token that is signed
// well point elsewhere: it is passed over.
func TestKeysInAHeaderAreNeverFetched(t *testing.T) {
	var asked atomic.Int64
	evil := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked.Add(1) }))
	defer evil.Close()
	r := newRig(t, nil)
	r.accept(t, r.key.sign(t, map[string]any{"jku": evil.URL, "x5u": evil.URL, "jwk": json.RawMessage(newECKey("k1").jwk())}, r.claims(nil)))
	if asked.Load() != 0 {
		t.Error("the address in the header was asked")
	}
}
