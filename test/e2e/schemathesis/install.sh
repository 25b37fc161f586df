#!/bin/sh
# Makes the Python environment of schemathesis in .tools/schemathesis and prints
# its program. A second run finds it there and does nothing.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
target=$(cd "$here/../../.." && pwd)/.tools/schemathesis
mkdir -p "$(dirname "$target")"
if command -v flock >/dev/null 2>&1; then
	exec 9>"$target.lock"
	flock 9
fi
if [ -x "$target/bin/st" ] && cmp -s "$here/requirements.txt" "$target/installed.txt"; then
	echo "$target/bin/st"
	exit 0
fi
fail() {
	echo "test/e2e/schemathesis/install.sh: $*" >&2
	exit 1
}
rm -rf "$target"
python3 -m venv "$target" || fail "python3 -m venv failed; as root: apt-get install python3 python3-venv python3-pip"
"$target/bin/python3" -m pip install --disable-pip-version-check --no-deps --only-binary :all: -q -r "$here/requirements.txt" >&2 ||
	fail "pip could not install what $here/requirements.txt names; is the package index reachable?"
cp "$here/requirements.txt" "$target/installed.txt"
echo "$target/bin/st"
