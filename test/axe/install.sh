#!/bin/sh
# Installs the checker of pages for tests beside this script.
here=$(dirname "$0")
exec bash "$here/../npm.sh" "$here"
