// Package zitadel has Zitadel know of demo grants, in two ways that need not
// both be used.
//
// Step gives the person of a grant a role of the grant's own (demo-user-12345)
// in a project, through the resource APIs of version 2 (Connect, JSON), and
// takes it away at the end. The role is made for the grant and removed with it,
// and Zitadel takes a removed role out of all authorizations by itself. There
// is one authorization for a person in an organization and a project, and
// updating it replaces its roles without looking at what they were; so Step
// reads, adds and writes back under a lock that all gates share, and goes on
// until what it wrote is seen. Somebody who edits the same authorization by
// hand in that instant can still lose, for which reason a project of demos'
// own is best.
//
// Actions answers Zitadel's Actions (version 2) before it makes tokens, with the
// claims of the person's active grant.
//
// Neither decides anything here: the gate's own grant holds and ends whether
// Zitadel is there or not. With other identity providers it is enough.
package zitadel
