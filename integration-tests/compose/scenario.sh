#!/usr/bin/env bash
# What compose.yaml promises, on a running engine with all images.
set -euo pipefail
files=(-f compose.yaml -f integration-tests/compose/fast.yaml)
compose() { docker compose "${files[@]}" --progress quiet "$@"; }
gennaker() { "$WORK/image/usr/local/bin/gennaker" "$@"; }
export GENNAKER_GATE=http://localhost:8084
services=(nats redis minio front50 orca clouddriver igor deck-api gate edge)

say() { echo "compose-test: $1 (after ${SECONDS} s)"; }
fail() {
  echo "compose-test: FAILED: $1"
  compose ps -a
  compose logs --tail 30 --no-color
  exit 1
}
eventually() { # what, command...
  local what=$1 deadline=$((SECONDS + 60)) last
  shift
  until last=$("$@" 2>&1); do
    [ "$SECONDS" -lt "$deadline" ] || fail "$what: $last"
    sleep 0.2
  done
}
up() { compose up --wait --wait-timeout 120 "$@" || fail "not all is healthy: up $*"; }
version=0
deliver() { # when
  version=$((version + 1))
  gennaker pipeline execute shop Ship -p version="$version" --watch >"$WORK/delivery.log" 2>&1 \
    || { cat "$WORK/delivery.log"; fail "the delivery $1"; }
  production=$(address)
  serves
}
address() {
  curl -fsS --max-time 5 "$GENNAKER_GATE/applications/shop/loadBalancers" \
    | python3 -c 'import json, sys; print(json.load(sys.stdin)[0]["address"])'
}
right_answer() { curl -fsS --max-time 2 "http://$production/" | grep "version $version "; }
serves() { eventually "version $version answers" right_answer; }

compose --profile '*' config --quiet || fail "compose.yaml cannot be read"
up
say "the image is built, and all is healthy"

# Only loopback can be reached, and no container has more than it needs.
ss -H -ltn | awk '{print $4}' | grep -v '^127\.0\.0\.1:' && fail "a port is open beyond loopback"
for container in $(docker ps -aq); do
  confined=$(docker inspect -f '{{.Config.User}} {{.HostConfig.ReadonlyRootfs}} {{.HostConfig.CapDrop}} {{.HostConfig.SecurityOpt}} {{gt .HostConfig.Memory 0}}' "$container")
  [ "$confined" = "10001:10001 true [ALL] [no-new-privileges:true] true" ] || fail "$(docker inspect -f '{{.Name}}' "$container") has $confined"
done
# A service has its own login and no other.
for service in orca gate edge; do
  seen=$(compose exec -T "$service" find /secrets -type f | sed 's#.*/##' | sort | tr '\n' ' ')
  [ "$seen" = "$([ "$service" = edge ] || echo 'nats.nkey redis.password s3.credentials ')" ] || fail "$service sees $seen"
done

gennaker demo --yes || fail "the demo"
say "the demo has passed"

gennaker application save shop --email shop@example.com >/dev/null
gennaker pipeline save -f integration-tests/compose/ship.yaml >/dev/null
deliver "at first"

for service in "${services[@]}"; do
  compose restart "$service" || fail "$service does not restart"
  up --no-recreate
  serves
  say "$service was restarted"
done
deliver "after all restarts"

up --no-recreate --scale orca=3 --scale clouddriver=2
[ "$(compose ps -q orca | wc -l)" = 3 ] && [ "$(compose ps -q clouddriver | wc -l)" = 2 ] || fail "not scaled"
deliver "with three orcas and two clouddrivers"
# The one that works dies; the one that stood by goes on with what is deployed.
active=$(for container in $(compose ps -q clouddriver); do
  docker top "$container" -eo pid,args | grep -q ' proxy --dir' && echo "$container" || true
done)
docker kill "$active" >/dev/null || fail "no clouddriver works"
serves
deliver "after the working clouddriver was killed"
say "scaled, and one clouddriver killed"

for container in $(docker ps -aq); do
  [ "$(docker inspect -f '{{.State.OOMKilled}}' "$container")" = false ] || fail "$(docker inspect -f '{{.Name}}' "$container") had too little memory"
done

compose down --volumes --timeout 10 || fail "it does not go down"
left="$(docker ps -aq)$(docker volume ls -q)"
[ -z "$left" ] || fail "something is left: $left"
say "all is gone"
