#!/usr/bin/env bash
# An engine in the namespaces that it is started in, with the images of compose.yaml, and in it the scenario.
# PARTS: programs that are kept; WORK: directory that goes afterwards; CGROUP: name of the engine's control group.
set -euo pipefail
# The client that belongs to the engine: another one may want a plugin to build images.
export PATH="/usr/sbin:/usr/bin:/sbin:/bin:$PATH"
export DOCKER_HOST="unix://$WORK/docker.sock" DOCKER_CONFIG="$WORK/config"
mkdir -p "$DOCKER_CONFIG/cli-plugins"
ln -s "$PARTS/cli-plugins/docker-compose" "$DOCKER_CONFIG/cli-plugins/docker-compose"

# What the engine leaves in the places of the system's own one stays in here.
mount -t tmpfs run /run
mkdir -p /etc/docker && mount -t tmpfs docker /etc/docker
ip link set lo up
dockerd --host "$DOCKER_HOST" --data-root "$WORK/data" --exec-root "$WORK/exec" --pidfile "$WORK/docker.pid" \
  --cgroup-parent "/$CGROUP" >"$WORK/dockerd.log" 2>&1 &
engine=$!
stop() {
  local status=$?
  [ "$status" = 0 ] || tail -n 20 "$WORK/dockerd.log"
  kill "$engine" && wait "$engine" || true
}
trap stop EXIT
for _ in $(seq 600); do
  docker version >/dev/null 2>&1 && break
  kill -0 "$engine" 2>/dev/null || { echo "compose-test: the engine does not start"; exit 1; }
  sleep 0.1
done

docker import "$PARTS/debian.tar" debian:bookworm-slim >/dev/null
image_of() {
  docker compose --profile '*' config --format json \
    | python3 -c 'import json, sys; print(json.load(sys.stdin)["services"][sys.argv[1]]["image"])' "$1"
}
# The public image of a service, from a program.
stand_in() { # service, program
  mkdir -p "$WORK/$1"
  cp "$PARTS/bin/$2" "$WORK/$1/"
  printf 'FROM debian:bookworm-slim\nCOPY %s /usr/local/bin/%s\n' "$2" "$2" \
    | DOCKER_BUILDKIT=0 docker build -q -t "$(image_of "$1")" -f - "$WORK/$1" >/dev/null
}
stand_in nats nats-server
stand_in minio minio
docker tag debian:bookworm-slim "$(image_of redis)"
echo "compose-test: the public images are there"
integration-tests/compose/scenario.sh
