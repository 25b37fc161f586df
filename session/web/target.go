package web

import (
	"net/url"
	"regexp"
	"strings"
)

// maxTarget bounds a return target; browsers and Envoy bound a URL anyway.
const maxTarget = 2048

// demoPage is where a demo is asked for, with the kind of workspace to begin
// with, or the page of one grant. Neither does anything when it is opened.
var demoPage = regexp.MustCompile(`^/demo(\?type=[0-9A-Za-z._-]{1,64}|/demo-[0-9A-Za-z_-]{1,100})?$`)

// ReturnTarget checks where somebody wants to go after signing in. It returns
// target and true only if target is a whole URL whose origin isOrigin knows
// (each origin of the routes file, written as the file has it), and which of the
// gate's own pages is none but the landing page and those of demos, to which
// people are sent links: not its sign-out, not a callback. On anything odd it
// returns "" and false, and the caller goes to its default.
//
// Known open redirects of proxies of this kind are a parser that reads a URL
// otherwise than browsers do: a backslash is a slash to them, tabs and line
// ends vanish, a path that begins with two slashes is a host, full-width dots
// become dots. So the text is held to visible ASCII without a backslash, the
// origin is compared as text and not as parsed, and relative targets are
// refused altogether: the edge only ever sends whole ones.
func ReturnTarget(target, gateOrigin string, isOrigin func(origin string) bool) (string, bool) {
	if target == "" || len(target) > maxTarget {
		return "", false
	}
	for i := range len(target) {
		if c := target[i]; c <= ' ' || c >= 0x7f || c == '\\' || c == '#' {
			return "", false
		}
	}
	origin, rest := splitOrigin(target)
	if origin == "" || !isOrigin(origin) {
		return "", false
	}
	u, err := url.Parse(target)
	if err != nil || u.User != nil || u.Opaque != "" || u.Scheme+"://"+u.Host != origin {
		return "", false
	}
	if origin == gateOrigin && rest != "" && rest != "/" && !demoPage.MatchString(rest) {
		return "", false
	}
	return target, true
}

// splitOrigin cuts target behind scheme://host[:port], where host has only
// lower-case letters, digits, dots and hyphens. The origin is "" if it does
// not begin so.
func splitOrigin(target string) (origin, rest string) {
	scheme, after, ok := strings.Cut(target, "://")
	if !ok || (scheme != "https" && scheme != "http") {
		return "", ""
	}
	end := strings.IndexAny(after, "/?")
	if end < 0 {
		end = len(after)
	}
	host, port, hasPort := strings.Cut(after[:end], ":")
	if host == "" || strings.Trim(host, "abcdefghijklmnopqrstuvwxyz0123456789.-") != "" {
		return "", ""
	}
	if hasPort && (port == "" || strings.Trim(port, "0123456789") != "") {
		return "", ""
	}
	cut := len(target) - len(after) + end
	return target[:cut], target[cut:]
}
