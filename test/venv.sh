#!/bin/sh
# venv.sh DIR NAME PROGRAM makes a Python environment of DIR/requirements.txt in
# .tools/NAME and prints the path of PROGRAM in it. A second run finds it there and
# does nothing.
set -eu
here=$(cd "$1" && pwd)
. "$(dirname "$0")/../envoy/again.sh"
target=$(cd "$(dirname "$0")/.." && pwd)/.tools/$2
mkdir -p "$(dirname "$target")"
if command -v flock >/dev/null 2>&1; then # tests of several packages may ask at once
	exec 9>"$target.lock"
	flock 9
fi
# Its programs name their Python by its path: in a folder that was moved or copied they run no more.
if [ -x "$target/bin/$3" ] && cmp -s "$here/requirements.txt" "$target/installed.txt" && [ "$(cat "$target/place.txt" 2>/dev/null)" = "$target" ]; then
	echo "$target/bin/$3"
	exit 0
fi
fail() {
	echo "test/venv.sh: $*" >&2
	exit 1
}
rm -rf "$target"
python3 -m venv "$target" || fail "python3 -m venv failed; as root: apt-get install python3 python3-venv python3-pip"
again "$target/bin/python3" -m pip install --disable-pip-version-check --no-deps --only-binary :all: -q -r "$here/requirements.txt" >&2 ||
	fail "pip could not install what $here/requirements.txt names; is the package index reachable?"
echo "$target" >"$target/place.txt"
cp "$here/requirements.txt" "$target/installed.txt"
echo "$target/bin/$3"
