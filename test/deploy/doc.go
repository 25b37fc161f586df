// Package deploy holds the files of deploy/ to what they promise, without an
// engine to run them: the compose file is loaded by Docker's own library, the
// Kubernetes manifests and the examples for Envoy Gateway and Istio are judged
// by the schemas that those projects publish, the systemd units by systemd.
//
// It is a module of its own, so that none of these libraries is one of gate's.
package deploy
