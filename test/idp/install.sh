#!/bin/sh
# Installs the provider for tests beside this script.
here=$(dirname "$0")
exec bash "$here/../npm.sh" "$here"
