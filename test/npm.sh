#!/usr/bin/env bash
# npm.sh DIR installs what DIR's lock file names, exactly, beside it. A second run
# is quick and changes nothing.
set -euo pipefail
tools=$(cd "$(dirname "$0")/.." && pwd)/.tools
. "$(dirname "$tools")/envoy/again.sh"
mkdir -p "$tools"
if command -v flock >/dev/null 2>&1; then # tests of several packages may ask at once
  exec 9>"$tools/npm.lock"
  flock 9
fi
cd "$1"
stamp=node_modules/.package-lock.sha256
want=$(sha256sum package.json package-lock.json)
if [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$want" ]; then
  exit 0
fi

log=$(mktemp)
trap 'rm -f "$log"' EXIT
if ! again npm ci --ignore-scripts --no-audit --no-fund >"$log" 2>&1; then
  tail -5 "$log" >&2
  echo "npm ci could not install what $1 names; its last lines are above." >&2
  exit 1
fi
printf '%s' "$want" > "$stamp"
