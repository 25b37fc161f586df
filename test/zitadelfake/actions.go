package zitadelfake

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Sign returns a ZITADEL-Signature of a body, with a part for each key.
func Sign(at time.Time, body []byte, keys ...string) string {
	t := strconv.FormatInt(at.Unix(), 10)
	out := "t=" + t
	for _, k := range keys {
		mac := hmac.New(sha256.New, []byte(k))
		mac.Write([]byte(t + "."))
		mac.Write(body)
		out += ",v1=" + hex.EncodeToString(mac.Sum(nil))
	}
	return out
}

// Payload is what Zitadel sends before it makes a token for a person.
func Payload(function, user, organization string) []byte {
	b, _ := json.Marshal(map[string]any{
		"function": "function/" + function,
		"userinfo": map[string]any{"sub": user},
		"user": map[string]any{
			"id": user, "creation_date": "2026-01-05T09:00:00Z", "change_date": "2026-01-05T09:00:00Z", "resource_owner": organization,
			"sequence": 7, "state": 1, "username": "ana@kappa4.com", "preferred_login_name": "ana@kappa4.com",
			"human": map[string]any{"first_name": "Ana", "last_name": "López", "display_name": "Ana López", "preferred_language": "es", "email": "ana@kappa4.com", "is_email_verified": true},
		},
		"user_metadata": []any{map[string]any{"creation_date": "2026-01-05T09:00:00Z", "change_date": "2026-01-05T09:00:00Z", "resource_owner": organization, "sequence": 8, "key": "team", "value": base64.StdEncoding.EncodeToString([]byte("blue"))}},
		"org":           map[string]any{"id": organization, "name": "Kappa4", "primary_domain": "kappa4.example"},
		"application":   map[string]any{"client_id": "349573018273640099"},
		"user_grants":   []any{map[string]any{"id": "1", "state": 1, "userId": user, "roles": []string{"neosc"}, "userGrantResourceOwner": organization, "projectId": "2", "projectName": "Portal"}},
	})
	return b
}

// Target is a target of the kind restCall, with interruptOnError.
type Target struct {
	URL, SigningKey string
	Client          *http.Client
	Clock           func() time.Time
}

// Before does what Zitadel does before it makes a token: it calls the target and
// adds the claims that it is told to have, but for those that are there already
// or that it keeps to itself. An error is one that fails the sign-in.
func (t Target) Before(function, user string, claims map[string]any) error {
	body := Payload(function, user, "349573018273640001")
	return t.Call(body, Sign(t.Clock(), body, t.SigningKey), claims)
}

// Call sends a call as it is, and does with the answer as Before says.
func (t Target) Call(body []byte, signature string, claims map[string]any) error {
	req, err := http.NewRequest(http.MethodPost, t.URL, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("ZITADEL-Signature", signature)
	resp, err := t.Client.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return err
	}
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		return fmt.Errorf("the target answered %d: Errors.Execution.Failed (EXEC-dra6yamk98)", resp.StatusCode)
	}
	var said struct {
		ForwardedStatusCode   int    `json:"forwardedStatusCode"`
		ForwardedErrorMessage string `json:"forwardedErrorMessage"`
		AppendClaims          []struct {
			Key   string `json:"key"`
			Value any    `json:"value"`
		} `json:"append_claims"`
	}
	if err := json.Unmarshal(answer, &said); err != nil {
		return err
	}
	if said.ForwardedStatusCode >= 400 && said.ForwardedStatusCode < 500 {
		return fmt.Errorf("forwarded %d: %s", said.ForwardedStatusCode, said.ForwardedErrorMessage)
	}
	for _, c := range said.AppendClaims {
		if _, there := claims[c.Key]; !there && !strings.HasPrefix(c.Key, "urn:zitadel:iam") {
			claims[c.Key] = c.Value
		}
	}
	return nil
}
