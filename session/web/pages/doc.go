// Package pages renders what people see of the gate: sign-in, the landing page
// with their applications, and refusals with the reason in plain words. Pages
// are whole HTML documents under a strict Content-Security-Policy: no script,
// no inline style, one stylesheet and one icon of the gate's own.
//
// Refusals appear on application hosts, so they name the gate by its absolute
// origin; the gate's own pages use paths. Whatever a client chose (path, host,
// email) is bounded, freed of control characters and escaped.
package pages
