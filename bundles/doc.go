// Package bundles brings policy sets to the engine: it reads one from a
// directory or an embedded file system, has it compiled and checked whole, and
// only then makes it the active one. A set that fails changes nothing: the one
// before serves on, and log, metric and Status say why.
package bundles
