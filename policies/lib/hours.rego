# METADATA
# title: Business hours
# description: |
#   Days and hours at which routes that ask for it are open. Weekday and clock
#   are read in the zone of the data, so that daylight saving, should the zone
#   have any, follows the zone's own tables. Broken data (an unknown zone, hours
#   that are no numbers) means closed.
# scope: package
# schemas:
#   - input: schema.input
package neosc.lib.hours

import data.neosc.lib.roles

# METADATA
# title: Open now
# description: A business day, from the first second in to before the first second out.
# scope: rule
open if {
	instant := [time.now_ns(), data.neosc.hours.timezone]
	data.neosc.hours.days[time.weekday(instant)] == true
	clock := time.clock(instant)
	clock >= data.neosc.hours.from
	clock < data.neosc.hours.until
}

# METADATA
# title: Exempt
# description: A held role to which hours do not apply.
# scope: rule
exempt if {
	some role in data.neosc.hours.exempt_roles
	role in roles.held
}

# METADATA
# title: Closed
# description: |
#   The route's settings ask for business hours, it is outside them, nobody is
#   exempt and the switch is not off. Anything but false asks, so that a misspelt
#   value closes and does not open.
# scope: rule
closed if {
	input.route.policy.business_hours
	not data.neosc.switches.business_hours == false
	not open
	not exempt
}
