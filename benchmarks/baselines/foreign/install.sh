#!/bin/sh
# Install the peers that are not Python's: BullMQ and Graphile Worker from npm (into node_modules beside this file), and
# Sidekiq by the package manager, if the programs they need are here. What is missing is left out of a run, with a note.
set -eu
cd "$(dirname "$0")"
if command -v npm >/dev/null; then
    npm install --no-audit --no-fund --silent
else
    echo "npm is missing: BullMQ and Graphile Worker will not be measured" >&2
fi
if ! ruby -e 'require "sidekiq"' 2>/dev/null; then
    if command -v apt-get >/dev/null && [ "$(id -u)" = 0 ]; then
        apt-get install --yes --quiet --quiet ruby-sidekiq >/dev/null
    else
        echo "Sidekiq is missing: install your system's package ruby-sidekiq to have it measured" >&2
    fi
fi
