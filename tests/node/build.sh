#!/usr/bin/env bash
# Builds what makes a whole node of the control plane in tests/cluster, once, and prints the folder that holds it.
#
# In:  go.mod and go.sum of ./kubernetes and ./dns. Both come from the Go module proxy.
# Out: kube-scheduler, kube-proxy, kubelet and coredns in a folder of the user's cache, keyed by both modules and dns/main.go.
#      The folder's name is the last line on stdout; progress goes to stderr.
#
#   tests/node/build.sh            build what is missing, print the folder
#   tests/node/build.sh --where    print the folder, build nothing
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
programs=(kube-scheduler kube-proxy kubelet coredns)

say() { printf 'node: %s\n' "$*" >&2; }

complete() {
  local program
  for program in "${programs[@]}"; do [[ -x "$1/$program" ]] || return 1; done
}

key=$(cat "$here"/kubernetes/go.sum "$here"/dns/{go.sum,main.go} | sha256sum | cut -c1-12)
folder=${XDG_CACHE_HOME:-$HOME/.cache}/tollway/node-$key

if [[ "${1:-}" == --where ]] || complete "$folder"; then
  printf '%s\n' "$folder"
  exit 0
fi

version() { sed -n 's#^require k8s.io/kubernetes \(v[0-9.]*\)$#\1#p' "$1/go.mod"; }
kubernetes=$(version "$here/kubernetes")
[[ "$kubernetes" == "$(version "$here/../cluster/controlplane")" ]] || {
  say "$here/kubernetes/go.mod has Kubernetes $kubernetes, tests/cluster/controlplane/go.mod another version: make them one"
  exit 1
}
command -v go >/dev/null || { say "needs Go 1.26 or later: https://go.dev/dl"; exit 1; }
mkdir -p "$folder"
exec 9>"$folder/.lock"
flock --nonblock 9 || { say "another run is building it; waiting"; flock 9; }

build() {
  local program=$1 module=$2 package=$3 begun=$SECONDS
  [[ -x "$folder/$program" ]] && return 0
  say "building $program ($4)"
  (cd "$here/$module" && CGO_ENABLED=0 GOFLAGS="-mod=readonly -buildvcs=false" go build -trimpath \
    -ldflags="-s -w -X k8s.io/component-base/version.gitVersion=$kubernetes" -o "$folder/.$program" "$package" >&2)
  mv "$folder/.$program" "$folder/$program"
  say "built $program in $((SECONDS - begun)) s"
}

for program in kube-scheduler kube-proxy kubelet; do
  build "$program" kubernetes "k8s.io/kubernetes/cmd/$program" "Kubernetes $kubernetes; up to two minutes"
done
build coredns dns . "up to two minutes"
printf '%s\n' "$folder"
