// Package account keeps local users: their passwords as Argon2id hashes, their
// roles, and the demo session that some of them get at sign-in. It implements
// session.Authenticator for the sign-in page.
// Beside them it keeps whom providers have signed in (session.Directory).
//
// Guessing costs the guesser: each attempt is charged to a budget of the
// account and one of the address before anything is looked at, and the number
// of hashes computed at once is bounded. An unknown account costs the same one
// hash as a known one.
//
// Service is what people, administrators and operators do with accounts: registering,
// proving an email, resetting a password, roles, organizations, invitations.
// Whoever only registered has no account yet, and an email that has one gets
// the same answer, so that nobody learns who has.
package account
