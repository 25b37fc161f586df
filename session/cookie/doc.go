// Package cookie seals sessions into cookie values and opens them again. A
// value is
//
//	v1.<key id>.<base64url of nonce and XChaCha20-Poly1305 box>
//
// over the session's id (16 bytes), its secret (32 bytes) and its absolute end
// (8 bytes, Unix seconds). Version, purpose, cookie name and key id are
// associated data, so a value that was sealed for another purpose or under
// another name does not open. Every failure is session.ErrInvalid: which of
// bit flip, unknown key or wrong purpose it was is nobody's business.
package cookie
