#!/usr/bin/env bash
# Tests compose.yaml and deploy/Dockerfile with a real Docker engine: its own, in namespaces of its own (network, mounts,
# processes), so that this machine's containers, firewall and mounts are not touched, and all of it ends with the script.
#
# No image is pulled: the public images are replaced by ones of the same names, made here from Debian's packages and from
# programs that are kept in target/parts. What cannot be had is said, and the test is skipped.
set -euo pipefail
cd "$(dirname "$0")/.."

target=$(realpath -m "${CARGO_TARGET_DIR:-target}")
parts="$target/parts"
binaries="${GENNAKER_BINARIES:-$target/debug}"
mkdir -p "$parts/bin" "$parts/cli-plugins"

skip() { echo "SKIPPED: compose-test: $1"; exit 0; }
say() { echo "compose-test: $1 (after ${SECONDS} s)"; }

[ "$(uname -s)" = Linux ] || skip "it needs Linux"
[ "$(id -u)" = 0 ] || skip "it needs root, for an engine of its own"
unshare --net --mount --pid --fork true 2>/dev/null || skip "namespaces cannot be made here"

packages() {
  local missing=()
  command -v dockerd >/dev/null || missing+=(docker.io)
  command -v iptables >/dev/null || missing+=(iptables)
  command -v debootstrap >/dev/null || missing+=(debootstrap)
  command -v ip >/dev/null || missing+=(iproute2)
  [ ${#missing[@]} = 0 ] && return
  command -v apt-get >/dev/null || skip "${missing[*]} are missing, and there is no apt-get"
  say "obtains ${missing[*]}"
  { apt-get update -qq && apt-get install -y -qq --no-install-recommends "${missing[@]}"; } >/dev/null 2>&1 \
    || skip "apt-get does not install ${missing[*]}"
}

# What go fetches and builds on the way is large, and not needed twice.
export GOCACHE="$parts/go/build" GOMODCACHE="$parts/go/mod"

# Docker's own build of compose cannot be had everywhere; its sources can.
compose_plugin() {
  [ -x "$parts/cli-plugins/docker-compose" ] && return
  command -v go >/dev/null || skip "docker compose has to be built, and there is no go"
  say "builds docker compose"
  mkdir -p "$parts/compose-src"
  (
    cd "$parts/compose-src"
    [ -f go.mod ] || go mod init gennaker.test/compose
    go get -modcacherw github.com/docker/compose/v2/cmd@v2.40.3
    CGO_ENABLED=0 nice go build -modcacherw -trimpath -ldflags="-s -w" -o "$parts/cli-plugins/docker-compose" github.com/docker/compose/v2/cmd
  ) >"$parts/compose.log" 2>&1 || { tail -n 5 "$parts/compose.log"; skip "docker compose cannot be built"; }
}

# What the tests of the cluster run against is used here too.
servers() {
  local name found
  for name in nats-server minio; do
    [ -x "$parts/bin/$name" ] && continue
    integration-tests/parts.sh
    found=$(PATH="${GENNAKER_PARTS:-$parts/bin}:$PATH" command -v "$name") || skip "$name cannot be had"
    [ "$found" -ef "$parts/bin/$name" ] || cp "$found" "$parts/bin/$name"
  done
}

debian() {
  [ -f "$parts/debian.tar" ] && return
  say "makes a Debian"
  local root="$parts/debian.new"
  rm -rf "$root"
  # `bash`, `wget` and `curl`: what the public images have and their health checks use.
  nice debootstrap --variant=minbase --include=ca-certificates,curl,wget,redis-server bookworm "$root" >"$parts/debian.log" 2>&1 \
    || { tail -n 5 "$parts/debian.log"; skip "debootstrap cannot make a Debian"; }
  rm -rf "$root"/var/cache/apt/* "$root"/var/lib/apt/lists/* "$root"/usr/share/{doc,locale,man}
  tar -C "$root" -cf "$parts/debian.tar.new" .
  mv "$parts/debian.tar.new" "$parts/debian.tar"
  rm -rf "$root"
}

# What the stage `prebuilt` of the image is made of.
stage() {
  local name from="$work/image"
  mkdir -p "$from/usr/local/bin" "$from/etc/ssl/certs"
  cp /etc/ssl/certs/ca-certificates.crt "$from/etc/ssl/certs/"
  for name in gate orca clouddriver igor front50 deck-api gennaker gennaker-setup; do
    [ -x "$binaries/$name" ] || { echo "compose-test: there is no $binaries/$name: cargo build --workspace --all-features --bins"; exit 1; }
    strip -o "$from/usr/local/bin/$name" "$binaries/$name" 2>/dev/null || cp "$binaries/$name" "$from/usr/local/bin/$name"
  done
}

packages
compose_plugin
rm -rf "$parts/go" "$parts/compose-src"
servers
debian
# Short, because sockets lie in it.
work=$(mktemp -d "$target/compose.XXXXXX")
had=$(ls -d /etc/docker 2>/dev/null || true)
cleanup() {
  # The namespaces are gone, and the mounts with them.
  rm -rf "$work"
  [ -n "$had" ] || rmdir /etc/docker 2>/dev/null || true
  # An engine that was killed leaves its empty control groups behind.
  find /sys/fs/cgroup -depth -type d -path "*/${work##*.}-docker*" -exec rmdir {} + 2>/dev/null || true
}
trap cleanup EXIT
stage
say "starts an engine"
export PARTS="$parts" WORK="$work" CGROUP="${work##*.}-docker"
unshare --net --mount --pid --fork --mount-proc --kill-child integration-tests/compose/engine.sh
say "passed"
