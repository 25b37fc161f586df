#!/usr/bin/env bash
# Installs the checker of pages for tests beside this script, exactly as the lock file
# has it. A second run is quick and changes nothing.
set -euo pipefail
cd "$(dirname "$0")"
stamp=node_modules/.package-lock.sha256
want=$(sha256sum package.json package-lock.json)
if [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$want" ]; then
  exit 0
fi
log=$(mktemp)
trap 'rm -f "$log"' EXIT
if ! npm ci --ignore-scripts --no-audit --no-fund >"$log" 2>&1; then
  tail -5 "$log" >&2
  echo "npm ci could not install test/axe; its last lines are above." >&2
  exit 1
fi
printf '%s' "$want" > "$stamp"
