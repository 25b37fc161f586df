// Package console serves the pages on which people see to their own account and
// administrators to everybody's: profile, password and sessions; registering
// and one-time links; users, organizations, live sessions, demo grants
// and the audit trail.
//
// They are forms and links alone, so they need no JavaScript. Each change is a
// POST from the gate's own origin with a token of the page, is kept in the audit
// trail with who asked, and leads on to a page that says what was done. Policy
// opens the console to administrators; its handlers look again.
package console
