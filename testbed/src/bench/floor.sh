#!/usr/bin/env bash
# The floor: the least that puts an app on the mesh. It starts the agent, registers, has the bootstrap made, starts
# Envoy, waits for its port and starts the app; each wait is a try every 10 ms. It offers no health, repairs nothing and
# protects no request, so nobody should run it: it is here to be compared with.
#
# Usage: floor.sh FILE. The file sets the arrays agent, bootstrap, envoy and app (commands), and the variables http and
# public (ports), service and proxy (files with what is registered), and out (where the bootstrap goes).
set -u
export LC_ALL=C
# shellcheck source=/dev/null
. "$1"

# A pause that starts no process: nobody ever writes there.
exec {never}<> <(:)
nap() { read -rt 0.01 -u "$never"; }

# Registers what a file holds; without a process, too.
register() {
  local body conversation status
  body=$(<"$1")
  { exec {conversation}<>"/dev/tcp/127.0.0.1/$http"; } 2>/dev/null || return 1
  printf 'PUT /v1/agent/service/register HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s' \
    "${#body}" "$body" >&"$conversation"
  read -r _ status _ <&"$conversation"
  exec {conversation}>&-
  [ "$status" = 200 ]
}

listens() { { : <>"/dev/tcp/127.0.0.1/$public"; } 2>/dev/null; }

"${agent[@]}" & agent_pid=$!
until register "$service"; do nap; done
until register "$proxy"; do nap; done
until "${bootstrap[@]}" >"$out"; do nap; done
"${envoy[@]}" & envoy_pid=$!
until listens; do nap; done
"${app[@]}" & app_pid=$!

told=
trap 'told=1' TERM
while [ -z "$told" ]; do wait; done
trap '' TERM
for pid in "$app_pid" "$envoy_pid" "$agent_pid"; do
  kill -TERM "$pid"
  wait "$pid"
done
