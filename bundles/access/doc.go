// Package access says who reaches what: it asks a policy about every
// combination of roles, methods, paths, demo claims, hours and second factors
// that its data and what it reads give rise to, with the engine that decides in
// production. Diff asks two policies the same.
package access
