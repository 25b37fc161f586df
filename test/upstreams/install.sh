#!/bin/sh
# Makes the Python environment of the documented upstream in .tools/python and
# prints its interpreter. A second run finds it there and does nothing.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
target=$(dirname "$(dirname "$here")")/.tools/python
mkdir -p "$(dirname "$target")"
if command -v flock >/dev/null 2>&1; then # tests of several packages may ask at once
	exec 9>"$target.lock"
	flock 9
fi
if [ -x "$target/bin/python3" ] && cmp -s "$here/requirements.txt" "$target/installed.txt"; then
	echo "$target/bin/python3"
	exit 0
fi
fail() {
	echo "test/upstreams/install.sh: $*" >&2
	exit 1
}
rm -rf "$target"
python3 -m venv "$target" || fail "python3 -m venv failed; as root: apt-get install python3 python3-venv python3-pip"
"$target/bin/python3" -m pip install --disable-pip-version-check --no-deps --only-binary :all: -q -r "$here/requirements.txt" >&2 ||
	fail "pip could not install what $here/requirements.txt names; is the package index reachable?"
cp "$here/requirements.txt" "$target/installed.txt"
echo "$target/bin/python3"
