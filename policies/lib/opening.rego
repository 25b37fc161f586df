# METADATA
# title: Opening hours
# description: |
#   Weekdays and hours in a zone, as data: as many as there are kinds of them.
#
#       denials contains "reports_closed" if not open
#
#       open if opening.open(time.now_ns(), data.reports.hours)
#
#   with data such as {"timezone": "Europe/Berlin", "days": {"Monday": true}, "from": [8, 0, 0],
#   "until": [20, 0, 0]}: `from` is the first second in, `until` the first second out. Hours with
#   `from` after `until` run over midnight and belong to the day on which they begin. An unknown
#   zone, or hours that are none, mean closed. Business hours of the routes are lib/hours.rego.
# scope: package
package neosc.lib.opening

# METADATA
# title: Open
# description: The instant, in nanoseconds since the epoch, lies in the hours.
# scope: document
open(instant, hours) if {
	hours.from < hours.until
	hours.days[time.weekday([instant, hours.timezone])] == true
	clock := time.clock([instant, hours.timezone])
	clock >= hours.from
	clock < hours.until
}

open(instant, hours) if {
	hours.from > hours.until
	hours.days[time.weekday([instant, hours.timezone])] == true
	time.clock([instant, hours.timezone]) >= hours.from
}

open(instant, hours) if {
	hours.from > hours.until
	hours.days[yesterday[time.weekday([instant, hours.timezone])]] == true
	time.clock([instant, hours.timezone]) < hours.until
}

yesterday := {
	"Monday": "Sunday", "Tuesday": "Monday", "Wednesday": "Tuesday", "Thursday": "Wednesday",
	"Friday": "Thursday", "Saturday": "Friday", "Sunday": "Saturday",
}
