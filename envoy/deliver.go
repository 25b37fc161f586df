package envoy

import (
	"path/filepath"
	"slices"

	bootstrapv3 "github.com/envoyproxy/go-control-plane/envoy/config/bootstrap/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
)

// Names of the watched files below Options.Files.
const (
	fileListeners = "lds.json"
	fileClusters  = "cds.json"
	fileRoutes    = "rds.json"
	fileBootstrap = "envoy.yaml"
)

// deliver puts the listener and the clusters into the bootstrap, or what leads
// to them.
func (b *builder) deliver(out *bootstrapv3.Bootstrap) {
	out.StaticResources = &bootstrapv3.Bootstrap_StaticResources{Clusters: b.ownClusters()}
	if b.Files != "" {
		out.DynamicResources = &bootstrapv3.Bootstrap_DynamicResources{LdsConfig: b.watched(fileListeners), CdsConfig: b.watched(fileClusters)}
		return
	}
	out.StaticResources.Listeners = []*listenerv3.Listener{b.listener()}
	out.StaticResources.Clusters = slices.Concat(out.StaticResources.Clusters, b.clusters())
}

// routesFrom says where the listener has its routes from.
func (b *builder) routesFrom(m *hcmv3.HttpConnectionManager) {
	if b.Files != "" {
		m.RouteSpecifier = &hcmv3.HttpConnectionManager_Rds{Rds: &hcmv3.Rds{RouteConfigName: routeConfig, ConfigSource: b.watched(fileRoutes)}}
		return
	}
	m.RouteSpecifier = &hcmv3.HttpConnectionManager_RouteConfig{RouteConfig: b.routeConfiguration()}
}

// watched is a file that Envoy reads again when another is renamed over it.
func (b *builder) watched(name string) *corev3.ConfigSource {
	return &corev3.ConfigSource{
		ResourceApiVersion: corev3.ApiVersion_V3,
		ConfigSourceSpecifier: &corev3.ConfigSource_PathConfigSource{
			PathConfigSource: &corev3.PathConfigSource{Path: filepath.Join(b.Files, name)},
		},
	}
}
