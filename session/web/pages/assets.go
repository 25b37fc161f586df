package pages

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
)

//go:embed assets/gate.css assets/favicon.svg assets/passkey.js assets/demo.js
var assetFiles embed.FS

// Asset is one static file that pages link.
type Asset struct {
	// Name is its path below /assets/.
	Name        string
	ContentType string
	Body        []byte
	// Version is a hash of Body. Pages link "?v=Version", so a body may be
	// cached forever under its version; a replica with another body still
	// answers, uncached, during a rolling update.
	Version string
}

// Assets returns every static file.
func Assets() ([]Asset, error) {
	assets := []Asset{
		{Name: "gate.css", ContentType: "text/css; charset=utf-8"},
		{Name: "favicon.svg", ContentType: "image/svg+xml"},
		{Name: "passkey.js", ContentType: "text/javascript; charset=utf-8"},
		{Name: "demo.js", ContentType: "text/javascript; charset=utf-8"},
	}
	for i := range assets {
		body, err := assetFiles.ReadFile("assets/" + assets[i].Name)
		if err != nil {
			return nil, fmt.Errorf("embedded asset %s: %w", assets[i].Name, err)
		}
		sum := sha256.Sum256(body)
		assets[i].Body, assets[i].Version = body, hex.EncodeToString(sum[:8])
	}
	return assets, nil
}
