package api

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"net/http"

	"go.yaml.in/yaml/v3"
)

//go:embed openapi.yaml
var openapi []byte

// description are the addresses of openapi.yaml: as it is, and as JSON.
func description() ([]served, error) {
	var doc any
	if err := yaml.Unmarshal(openapi, &doc); err != nil {
		return nil, fmt.Errorf("openapi.yaml: %w", err)
	}
	asJSON, err := json.Marshal(doc)
	if err != nil {
		return nil, fmt.Errorf("openapi.yaml: %w", err)
	}
	file := func(contentType string, body []byte) handler {
		return func(c *call) (reply, error) {
			c.w.Header().Set("Cache-Control", "public, max-age=300")
			return reply{file: contentType, body: body}, nil
		}
	}
	return []served{
		{Route{http.MethodGet, "/api/openapi.yaml", Public}, file("application/yaml", openapi)},
		{Route{http.MethodGet, "/api/openapi.json", Public}, file("application/json", asJSON)},
	}, nil
}
