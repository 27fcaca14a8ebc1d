#!/usr/bin/env bash
# Builds Helm, which renders and installs the chart in tests, once, and prints the program's path.
#
# In:  go.mod and go.sum beside this file; HELM when you have one already.
# Out: helm in a folder of the user's cache, keyed by go.sum. Its path is the last line on stdout; progress goes to stderr.
#
#   tests/helm/build.sh            build it when it is missing, print the path
#   tests/helm/build.sh --where    print the path, build nothing
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
say() { printf 'helm: %s\n' "$*" >&2; }

if [[ -n "${HELM:-}" ]]; then
  command -v "$HELM" || { say "HELM is $HELM, which is no program: unset it to build one"; exit 1; }
  exit 0
fi

folder=${XDG_CACHE_HOME:-$HOME/.cache}/tollway/helm-$(sha256sum <"$here/go.sum" | cut -c1-12)
if [[ "${1:-}" != --where && ! -x "$folder/helm" ]]; then
  command -v go >/dev/null || { say "needs Go 1.26 or later: https://go.dev/dl, or set HELM"; exit 1; }
  mkdir -p "$folder"
  exec 9>"$folder/.lock"
  flock --nonblock 9 || { say "another run is building it; waiting"; flock 9; }
  if [[ ! -x "$folder/helm" ]]; then
    begun=$SECONDS
    say "building (about 6 minutes)"
    (cd "$here" && CGO_ENABLED=0 GOFLAGS="-mod=readonly -buildvcs=false" go build -trimpath -ldflags="-s -w" -o "$folder/.helm" helm.sh/helm/v4/cmd/helm >&2)
    mv "$folder/.helm" "$folder/helm"
    say "built in $((SECONDS - begun)) s"
  fi
fi
printf '%s\n' "$folder/helm"
