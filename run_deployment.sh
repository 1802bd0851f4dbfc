#!/bin/sh
# ./run_deployment.sh DEV|PROD
# Builds the image, starts the service containers this environment needs, migrates, proves web and callbacks in trial containers,
# recreates them, and only when they are healthy the scheduler and the workers. On an error the failing container's log is shown
# and what ran before goes on running. Migrations must therefore suit the code before them too.
set -eu
cd "$(dirname "$0")"

case "${1:-}" in
  DEV) ENVIRONMENT=dev ;;
  PROD) ENVIRONMENT=prod ;;
  *) echo "Usage: ./run_deployment.sh DEV|PROD" >&2; exit 2 ;;
esac
export ENVIRONMENT
settings=compose/env/$ENVIRONMENT.env
for file in "$settings" "compose/env/$ENVIRONMENT.owner.env" "compose/env/$ENVIRONMENT.signing.env"; do
  if [ ! -f "$file" ]; then
    echo "Missing $file: copy its .example in compose/env and fill it in." >&2
    exit 2
  fi
done

say() { printf '%s\n' "--- $*"; }
compose() {
  docker compose -f compose/docker-compose.yml -f "compose/docker-compose.$ENVIRONMENT.yml" \
    --project-directory compose "$@"
}
setting() { sed -n "s/^$1=//p" "$settings" | tail -n 1; }


# try_out SERVICE: the new image must become healthy beside the old container before that one is touched
try_out() {
  trial=kauri-trial-$1
  docker rm -f "$trial" >/dev/null 2>&1 || true
  compose run -d --no-deps --name "$trial" "$1" >/dev/null
  tries=0
  while state=$(docker inspect -f '{{if .State.Running}}{{.State.Health.Status}}{{else}}ended{{end}}' "$trial") && [ "$state" != healthy ]; do
    tries=$((tries + 1))
    if [ "$state" != starting ] || [ "$tries" -gt 120 ]; then
      docker logs --tail 60 "$trial" >&2 || true
      docker rm -f "$trial" >/dev/null 2>&1 || true
      echo "!!! the new $1 is $state (its log is above); the old one goes on running." >&2
      exit 1
    fi
    sleep 1
  done
  docker rm -f "$trial" >/dev/null
}

# recreate SERVICE...: replace the containers and wait; what does not come up is named with its log, and the image before it put back
recreate() {
  before=$(docker inspect -f '{{.Config.Image}}' "$(compose ps -q "$1" | head -n 1)" 2>/dev/null || true)
  if compose up -d --no-deps --wait --wait-timeout 180 "$@"; then return; fi
  for service in "$@"; do
    for container in $(compose ps -aq "$service"); do
      state=$(docker inspect -f '{{.State.Status}}/{{if .State.Health}}{{.State.Health.Status}}{{else}}-{{end}}' "$container")
      case $state in
        running/healthy | running/-) ;;
        *)
          echo "!!! $service is $state. The end of its log:" >&2
          docker logs --tail 60 "$container" >&2 || true
          ;;
      esac
    done
  done
  case $before in
    "kauri:$IMAGE_TAG") ;;
    kauri:*)
      echo "!!! putting $before back" >&2
      IMAGE_TAG=${before#kauri:}
      compose up -d --no-deps "$@" >&2
      ;;
  esac
  exit 1
}

WEB_HOST=$(setting WEB_HOST)
CALLBACKS_HOST=$(setting CALLBACKS_HOST)
export WEB_HOST CALLBACKS_HOST
IMAGE_TAG=$(git rev-parse --short=12 HEAD 2>/dev/null || date +%Y%m%d%H%M%S)
export IMAGE_TAG
say "building kauri:$IMAGE_TAG"
compose build web

services=
if [ "$ENVIRONMENT" = dev ]; then
  case $(setting DATABASE_URL) in *@db:*) services="$services db" ;; esac
  case $(setting REDIS_URL) in *//redis:* | *@redis:*) services="$services redis" ;; esac
fi
if [ -n "$services" ]; then
  say "service containers:$services"
  # shellcheck disable=SC2086 # a list of words
  recreate $services
fi

say "migrations and defaults"
compose run --rm --no-deps migrate

for service in web callbacks; do
  say "trying out the new $service"
  try_out "$service"
done

say "web and callbacks"
recreate web callbacks

workers=$(compose config --services | grep -E '^(scheduler|worker-)' | tr '\n' ' ')
say "scheduler and workers: they finish what they hold first"
# shellcheck disable=SC2086 # a list of words
recreate $workers

say "nginx"
recreate nginx
say "kauri:$IMAGE_TAG is up"
