#!/bin/sh
# Makes the Python environment of the documented upstream and prints its interpreter.
here=$(dirname "$0")
exec sh "$here/../venv.sh" "$here" python python3
