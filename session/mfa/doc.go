// Package mfa keeps and checks second factors: authenticator apps (TOTP, RFC
// 6238), passkeys (WebAuthn Level 3) and recovery codes. It implements
// session.SecondFactors on SQLite and Postgres.
//
// Secrets of apps are sealed under a data key, and recovery codes are kept as a
// MAC under it; the data key itself is sealed under the gate's key ring. So a
// dump of the database opens nothing, and when the ring turns one row is sealed
// anew. A ring that has lost its keys has lost the apps and the codes as well:
// passkeys go on, all else has to be enrolled again.
package mfa
