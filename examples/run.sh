#!/usr/bin/env bash
# In: the proxy's binary and a folder of manifests. Out: the proxy serving the folder, and once it is ready the lines to try.
# Ends with the proxy: Ctrl-C stops both.
#
# TOLLWAY_LISTEN and TOLLWAY_ADMIN choose the ports; without them the first free ones from 8080 and 9091 up are taken.
# TOLLWAY_STATE_DIR keeps what budgets have spent; without it every start begins at zero.
set -euo pipefail

proxy=$1 folder=$2

busy() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }
free_from() {
  local port=$1
  while busy "$port"; do port=$((port + 1)); done
  echo "127.0.0.1:$port"
}
TOLLWAY_LISTEN=${TOLLWAY_LISTEN:-$(free_from 8080)}
TOLLWAY_ADMIN=${TOLLWAY_ADMIN:-$(free_from 9091)}
temporary=
if [[ -z "${TOLLWAY_STATE_DIR:-}" ]]; then
  temporary=$(mktemp -d)
  TOLLWAY_STATE_DIR=$temporary
fi
export TOLLWAY_LISTEN TOLLWAY_ADMIN TOLLWAY_STATE_DIR

"$proxy" standalone "$folder" &
pid=$!
trap 'kill -TERM "$pid" 2>/dev/null || true' INT TERM
trap '[[ -z "$temporary" ]] || rm -rf -- "$temporary"' EXIT

until curl --silent --fail --output /dev/null "http://$TOLLWAY_ADMIN/readyz"; do
  kill -0 "$pid" 2>/dev/null || { wait "$pid"; exit $?; }
  sleep 0.1
done

url=http://$TOLLWAY_LISTEN/v1/chat/completions
cat <<TRY

Ready. In another terminal, one after the other:

  # 1. One answer. The headers say which target gave it, after how many attempts, and what it cost.
  curl -i $url -H 'content-type: application/json' \\
    -d '{"model":"assistant","messages":[{"role":"user","content":"hello"}]}'

  # 2. The same, streamed.
  curl -N $url -H 'content-type: application/json' \\
    -d '{"model":"assistant","stream":true,"messages":[{"role":"user","content":"hello"}]}'

  # 3. What it has cost, target by target.
  $proxy status --admin $TOLLWAY_ADMIN

  # 4. Until the budget says no (429 budget_exceeded).
  while curl -sf -o /dev/null $url -H 'content-type: application/json' \\
    -d '{"model":"assistant","messages":[{"role":"user","content":"hello"}]}'; do printf .; done; \\
  curl -i $url -H 'content-type: application/json' \\
    -d '{"model":"assistant","messages":[{"role":"user","content":"hello"}]}'

  # 5. Edit $folder/*.yaml: the change is in force when the file is saved. A mistake is reported and changes nothing.

Ctrl-C stops it.

TRY

# The first wait ends when a signal arrives, the second when the proxy has drained.
wait "$pid" || true
wait "$pid" 2>/dev/null || true
