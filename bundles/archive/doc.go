// Package archive is the form in which a policy set travels: OPA's bundle, a
// gzipped tar of Rego, data, a .manifest and, when it is signed, a
// .signatures.json. It builds one, the same bytes for the same input, signs and
// verifies it, and reads one that anybody may have sent: bounded in size, and
// without any entry that could mean two things.
package archive
