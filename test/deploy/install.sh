#!/bin/sh
# Installs Kubernetes' published schemas into .tools/kubernetes-schemas. A second
# run finds them there and does nothing. Needs the Python of envoy/install.sh.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
root=$(dirname "$(dirname "$here")")
target=$root/.tools/kubernetes-schemas
[ -f "$target/requirements.txt" ] && cmp -s "$here/requirements.txt" "$target/requirements.txt" && exit 0

# again runs a command up to three times: what downloads fails now and then.
again() {
	n=1
	until "$@"; do
		[ "$n" -lt 3 ] || return 1
		n=$((n + 1))
		sleep "$((n * 4))"
	done
}

rm -rf "$target.new"
again "$root/.tools/envoy/bin/python3" -m pip install --disable-pip-version-check --no-deps --require-hashes --only-binary :all: -q \
	--target "$target.new" -r "$here/requirements.txt"
cp "$here/requirements.txt" "$target.new/"
rm -rf "$target"
mv "$target.new" "$target"
