#!/usr/bin/env bash
# Installs what the tests need beyond Go, Python 3 and make: Debian packages
# (when root; otherwise it names the missing ones and fails) and the pinned
# Envoy in a project-local folder. A second run is quick and changes nothing.
set -euo pipefail
cd "$(dirname "$0")/.."
. envoy/again.sh

# command -> Debian package that brings it
declare -A need=(
  [redis-server]=redis-server
  [chromium]=chromium
  [promtool]=prometheus
  [node]=nodejs
  [systemd-analyze]=systemd
  [ip]=iproute2
  [oathtool]=oathtool
)
missing=()
# Debian keeps the server's programs out of the path. Tests make clusters of
# their own; the one that the package makes is not used.
compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null || command -v initdb >/dev/null || missing+=(postgresql)
for cmd in "${!need[@]}"; do
  command -v "$cmd" >/dev/null || missing+=("${need[$cmd]}")
done
if ((${#missing[@]})); then
  if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
    echo "make test needs these Debian packages: ${missing[*]}. Install them (sudo apt-get install ${missing[*]}) and run it again." >&2
    exit 1
  fi
  echo "installing ${missing[*]}"
  log=$(mktemp)
  if ! { again apt-get update && again env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "${missing[@]}"; } >"$log" 2>&1; then
    tail -5 "$log" >&2
    echo "apt-get could not install ${missing[*]}; its last lines are above." >&2
    exit 1
  fi
  rm -f "$log"
fi
# Modules at once, since go does not try again by itself.
again go mod download
again go mod download -modfile=test/tools/go.mod
again go -C test/deploy mod download
bash envoy/install.sh
sh test/deploy/install.sh
sh test/upstreams/install.sh >/dev/null
bash test/idp/install.sh
bash test/axe/install.sh
sh test/e2e/schemathesis/install.sh >/dev/null
