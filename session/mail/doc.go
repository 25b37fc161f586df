// Package mail sends mail about accounts: through an SMTP server, or by writing
// it to a terminal where there is none to send it.
package mail
