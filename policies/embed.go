// Package policies is NeoSC's access policy as the gate ships it: Rego, the
// data that it decides by and the schema of its input, embedded in the program.
// It is what decides until an operator activates another bundle. The rules are
// tested by the _test.rego files beside them, which are not embedded.
package policies

import (
	"embed"
	"io/fs"
)

// Entrypoint is the rule to evaluate, as a reference.
const Entrypoint = "data.neosc.authz.decision"

// SchemaFile is the name within Files of the JSON schema (draft-07) of the
// input document; policies refer to it as schema.input.
const SchemaFile = "schema/input.json"

// DataFile is the name within Files of the policy's data, in YAML, with the
// single root key "neosc".
const DataFile = "data.yaml"

// The list names every file: a pattern could not leave out the tests.
//
//go:embed authz.rego data.yaml schema/input.json
//go:embed lib/address.rego lib/admin.rego lib/demo.rego lib/expiry.rego lib/hours.rego lib/identity.rego
//go:embed lib/limits.rego lib/methods.rego lib/mfa.rego lib/opening.rego lib/own.rego lib/paths.rego lib/roles.rego lib/reserved.rego
var files embed.FS

// Files returns the policy as a read-only file system with the layout of an OPA
// bundle directory: *.rego, data.yaml and schema/input.json, slash-separated,
// without tests. Safe for concurrent use.
func Files() fs.FS { return files }
