#!/bin/sh
# Installs what the tests need beside Python: PostgreSQL, Redis and Chromium, from Debian.
set -eu

missing=""
ls /usr/lib/postgresql/*/bin/postgres >/dev/null 2>&1 || missing="$missing postgresql"
command -v redis-server >/dev/null 2>&1 || missing="$missing redis-server"
command -v chromium >/dev/null 2>&1 || missing="$missing chromium"
[ -n "$missing" ] || exit 0

if [ "$(id -u)" = 0 ]; then sudo=""; else sudo="sudo"; fi
if ! command -v apt-get >/dev/null 2>&1 || { [ -n "$sudo" ] && ! command -v sudo >/dev/null 2>&1; }; then
    echo "The tests need$missing. Install them (Debian: apt-get install$missing) and try again." >&2
    exit 1
fi
echo "Installing for the tests:$missing"
log=$(mktemp)
# Debian would start its own server and cluster at installation; ours are started by the tests.
if ! { $sudo apt-get update && $sudo env DEBIAN_FRONTEND=noninteractive \
        apt-get install -y --no-install-recommends $missing fonts-dejavu-core; } >"$log" 2>&1; then
    tail -n 20 "$log" >&2
    echo "apt-get could not install$missing; install them by hand and try again." >&2
    exit 1
fi
rm -f "$log"
