#!/bin/sh
# Creates .venv in the root of the checkout from a Python of 3.11 or newer, unless a working one is there.
# PYTHON=/path/to/python names the interpreter; without it the usual names are tried.
# Debian and Ubuntu ship Python without the parts that make environments: root gets them installed, anyone else is
# told the package.
set -eu
cd "$(dirname "$0")/.."

say() { printf '%s\n' "$*" >&2; }
new_enough() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; }
makes_venvs() { "$1" -c 'import ensurepip, venv' >/dev/null 2>&1; }

if [ -x .venv/bin/python ] && new_enough .venv/bin/python && .venv/bin/python -m pip --version >/dev/null 2>&1; then
    exit 0
fi

if [ -n "${PYTHON:-}" ] && ! new_enough "$PYTHON"; then
    say "PYTHON=$PYTHON is not a Python of 3.11 or newer that runs. Name another one, or leave PYTHON unset."
    exit 1
fi

python=""
bare=""
for candidate in ${PYTHON:-python3.13 python3.12 python3.11 python3.14 python3}; do
    new_enough "$candidate" || continue
    if makes_venvs "$candidate"; then
        python=$candidate
        break
    fi
    bare=${bare:-$candidate}
done

if [ -z "$python" ] && [ -z "$bare" ]; then
    say "Celeriac needs Python 3.11 or newer, and none was found as python3.13, python3.12, python3.11 or python3."
    say "Install one, or name it: make PYTHON=/path/to/python3.12 venv"
    exit 1
fi

if [ -z "$python" ]; then
    package=$("$bare" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')
    if command -v apt-get >/dev/null 2>&1 && [ "$(id -u)" = 0 ]; then
        say "Installing $package, which $bare needs to create an environment"
        apt-get update -qq
        DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$package" >&2
    fi
    if ! makes_venvs "$bare"; then
        say "$bare cannot create a virtual environment. Install the package $package, then run make again."
        exit 1
    fi
    python=$bare
fi

say "Creating .venv with $("$python" -V 2>&1) ($python)"
"$python" -m venv --clear .venv
