# METADATA
# title: Methods
# description: |
#   What a request's method says of it. Methods are case-sensitive, and what is not
#   known here is neither read nor preflight.
#
#       denials contains "read_only" if {
#           not methods.reading
#           roles.one_of(["auditor"])
#       }
# scope: package
# schemas:
#   - input: schema.input
package neosc.lib.methods

# METADATA
# title: Reading
# description: The method is one that RFC 9110, 9.2.1 calls safe, and not TRACE.
# scope: rule
reading if input.attributes.request.http.method in {"GET", "HEAD", "OPTIONS"}

# METADATA
# title: Preflight
# description: |
#   A browser asks what it may send (CORS). Preflights carry no cookie; the answer to one
#   says nothing of the person.
# scope: rule
preflight if {
	input.attributes.request.http.method == "OPTIONS"
	input.attributes.request.http.headers.origin != ""
	input.attributes.request.http.headers["access-control-request-method"] != ""
}
