# Read by the scripts that install: what they share.

# again runs a command up to three times: what downloads fails now and then.
again() {
	n=1
	until "$@"; do
		[ "$n" -lt 3 ] || return 1
		n=$((n + 1))
		sleep "$((n * 4))"
	done
}
