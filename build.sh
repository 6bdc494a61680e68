#!/usr/bin/env bash
# The one entry point of the project: a thin front for the Python package tools/.
set -euo pipefail

root=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd -P)

if ! command -v python3 >/dev/null && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    echo 'build.sh: installing python3 with apt-get' >&2
    apt-get update -qq >&2
    DEBIAN_FRONTEND=noninteractive apt-get install --yes -qq --no-install-recommends python3 >&2
fi
# -E here and below: PYTHONPATH and its like are meant for the user's program, not for the tools.
if ! python3 -E -c 'import sys; sys.exit(sys.version_info < (3, 9))' 2>/dev/null; then
    echo 'build.sh: error: a python3 of version 3.9 or later is needed to run the build.' >&2
    echo '  Install it, for instance with: sudo apt-get install python3' >&2
    exit 1
fi

# The tools run in the project's root; files that the user names are relative to where the user is.
export ASYNCBIS_CWD=$PWD
cd -- "$root"
exec python3 -E -m tools "$@"
