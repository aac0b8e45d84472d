#!/usr/bin/env bash
# Obtains the registries that igor's tests ask: the registry of the CNCF from its sources, once, in some
# minutes, into target/parts; and Debian's older one from the system. Git and openssl come with the system too.
# What cannot be had is said, and its tests are skipped.
set -euo pipefail
cd "$(dirname "$0")/.."

parts="${CARGO_TARGET_DIR:-target}/parts"
[ -n "${GENNAKER_PARTS:-}" ] && parts="$(dirname "$GENNAKER_PARTS")"

missing() { echo "SKIPPED later: $1 cannot be had: $2" >&2; }

system() { # program, package
  if command -v "$1" >/dev/null; then return; fi
  if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
    missing "$1" "install the package $2"
    return
  fi
  echo "obtains $2"
  { apt-get update -qq && apt-get install -y -qq --no-install-recommends "$2"; } >/dev/null 2>&1 \
    || missing "$1" "apt-get does not install $2"
}

system git git
system openssl openssl
system docker-registry docker-registry

if ! command -v registry >/dev/null && [ ! -x "$parts/bin/registry" ]; then
  if command -v go >/dev/null; then
    echo "builds the registry"
    mkdir -p "$parts/bin"
    bin=$(realpath "$parts/bin")
    GOCACHE="$bin/../go-registry/build" GOMODCACHE="$bin/../go-registry/mod" GOBIN="$bin" CGO_ENABLED=0 \
      go install -modcacherw -trimpath -ldflags="-s -w" github.com/distribution/distribution/v3/cmd/registry@v3.0.0 \
      >"$parts/registry.log" 2>&1 || missing registry "its build fails: $(tail -n 1 "$parts/registry.log")"
    rm -rf "$parts/go-registry"
  else
    missing registry "there is no go to build it with"
  fi
fi
