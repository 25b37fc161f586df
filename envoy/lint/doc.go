// Package lint reads an Envoy configuration, whoever wrote it, and lists what in
// it would let a spoofed identity or an unchecked request through: each with its
// place and its mend. It judges a bootstrap in YAML or JSON, what `/config_dump`
// of the admin interface gives, and files of watched resources.
//
// It reads the configuration as a tree rather than by Envoy's generated types:
// extensions that it does not know are named as not judged, and neither a newer
// Envoy's field nor an older one's keeps it from judging the rest.
package lint
