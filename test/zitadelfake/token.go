package zitadelfake

import (
	"crypto/rand"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	josejwt "github.com/go-jose/go-jose/v4/jwt"
)

// TokenLife is how long tokens hold.
const TokenLife = 12 * time.Hour

// KeyFile is the file that Zitadel hands out for the service user's key.
func (s *Server) KeyFile() []byte {
	b, _ := json.Marshal(map[string]string{
		"type": "serviceaccount", "keyId": KeyID, "userId": ServiceUser,
		"key": string(pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(s.Key)})),
	})
	return b
}

// token is the token endpoint, for signed assertions (RFC 7523) alone.
func (s *Server) token(w http.ResponseWriter, r *http.Request) {
	deny := func(code, what string) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusBadRequest)
		_ = json.NewEncoder(w).Encode(map[string]string{"error": code, "error_description": what})
	}
	if r.ParseForm() != nil || r.PostForm.Get("grant_type") != "urn:ietf:params:oauth:grant-type:jwt-bearer" {
		deny("unsupported_grant_type", "grant_type")
		return
	}
	scopes := strings.Fields(r.PostForm.Get("scope"))
	if !slices.Contains(scopes, "openid") || !slices.Contains(scopes, "urn:zitadel:iam:org:project:id:zitadel:aud") {
		deny("invalid_scope", "scope")
		return
	}
	jwt, err := josejwt.ParseSigned(r.PostForm.Get("assertion"), []jose.SignatureAlgorithm{jose.RS256})
	if err != nil || jwt.Headers[0].KeyID != KeyID {
		deny("invalid_grant", "assertion")
		return
	}
	var c josejwt.Claims
	if jwt.Claims(&s.Key.PublicKey, &c) != nil || c.Issuer != ServiceUser || c.Subject != ServiceUser || !c.Audience.Contains(s.URL) || c.Expiry == nil || c.IssuedAt == nil {
		deny("invalid_grant", "claims")
		return
	}
	now := s.clock()
	if now.After(c.Expiry.Time()) || now.Sub(c.IssuedAt.Time()) > time.Hour || c.IssuedAt.Time().After(now.Add(time.Second)) {
		deny("invalid_grant", "time")
		return
	}
	var raw [16]byte
	_, _ = rand.Read(raw[:])
	token := hex.EncodeToString(raw[:])
	s.mu.Lock()
	s.tokens[token] = now.Add(TokenLife)
	s.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(map[string]any{"access_token": token, "token_type": "Bearer", "expires_in": int(TokenLife / time.Second)})
}

func (s *Server) letIn(header string) bool {
	token, ok := strings.CutPrefix(header, "Bearer ")
	s.mu.Lock()
	defer s.mu.Unlock()
	return ok && (token == PAT || s.clock().Before(s.tokens[token]))
}
