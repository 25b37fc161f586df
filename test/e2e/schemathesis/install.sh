#!/bin/sh
# Makes the Python environment of schemathesis and prints its program.
here=$(dirname "$0")
exec sh "$here/../../venv.sh" "$here" schemathesis st
