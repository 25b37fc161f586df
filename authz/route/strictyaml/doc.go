// Package strictyaml reads YAML the way a security setting must be read: a key
// that is not known, a value of the wrong kind, a key given twice or a second
// document is an error, never a default. A misspelt key that is silently
// ignored is a rule that silently does not hold.
//
// Every error names the file, the line and the mend, and up to MaxProblems are
// gathered before Decode gives up, so that one run shows all typing errors.
// Anchors, aliases, merge keys and tags are refused: none of our files needs
// them, and aliases are how a small file grows to gigabytes.
package strictyaml
