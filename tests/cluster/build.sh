#!/usr/bin/env bash
# Builds the Kubernetes control plane that the tests run against, once, and prints the folder that holds it.
#
# In:  go.mod and go.sum of ./controlplane and ./etcd; KUBEBUILDER_ASSETS when you have the binaries already.
# Out: kube-apiserver, kube-controller-manager, kubectl and etcd in a folder of the user's cache, keyed by both go.sum,
#      so that a second run does nothing. The folder's name is the last line on stdout; progress goes to stderr.
#
#   tests/cluster/build.sh            build what is missing, print the folder
#   tests/cluster/build.sh --where    print the folder, build nothing
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
programs=(kube-apiserver kube-controller-manager kubectl etcd)

say() { printf 'control plane: %s\n' "$*" >&2; }

complete() {
  local program
  for program in "${programs[@]}"; do [[ -x "$1/$program" ]] || return 1; done
}

if [[ -n "${KUBEBUILDER_ASSETS:-}" ]]; then
  # The controller-manager is optional here: envtest's own archives lack it.
  for program in kube-apiserver kubectl etcd; do
    [[ -x "$KUBEBUILDER_ASSETS/$program" ]] || {
      say "KUBEBUILDER_ASSETS is $KUBEBUILDER_ASSETS, which has no $program: unset it to build one, or complete the folder"
      exit 1
    }
  done
  printf '%s\n' "$KUBEBUILDER_ASSETS"
  exit 0
fi

key=$(cat "$here"/{controlplane,etcd}/go.sum | sha256sum | cut -c1-12)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/tollway
folder=$cache/controlplane-$key

if [[ "${1:-}" == --where ]] || complete "$folder"; then
  printf '%s\n' "$folder"
  exit 0
fi

command -v go >/dev/null || { say "needs Go 1.26 or later: https://go.dev/dl, or set KUBEBUILDER_ASSETS"; exit 1; }
mkdir -p "$folder"
exec 9>"$folder/.lock"
flock --nonblock 9 || { say "another run is building it; waiting"; flock 9; }

export CGO_ENABLED=0 GOFLAGS="-mod=readonly -buildvcs=false"
log=$folder/build.log

# Runs a build with its output in the log, and says every 15 seconds that it still runs.
build() {
  local program=$1 module=$2 package=$3 flags=$4 begun=$SECONDS pid
  [[ -x "$folder/$program" ]] && return 0
  say "building $program ($5)"
  (cd "$here/$module" && exec go build -trimpath -ldflags="-s -w $flags" -o "$folder/.$program" "$package") >"$log" 2>&1 9>&- &
  pid=$!
  trap 'kill "$pid" 2>/dev/null' INT TERM
  while kill -0 "$pid" 2>/dev/null; do
    for _ in {1..60}; do
      kill -0 "$pid" 2>/dev/null || break
      sleep 0.25
    done
    kill -0 "$pid" 2>/dev/null && say "building $program: $((SECONDS - begun)) s"
  done
  if ! wait "$pid"; then
    say "go could not build $program; its last words:"
    tail -n 20 "$log" >&2
    return 1
  fi
  trap - INT TERM
  mv "$folder/.$program" "$folder/$program"
  say "built $program in $((SECONDS - begun)) s"
}

kubernetes=$(sed -n 's#^require k8s.io/kubernetes \(v[0-9.]*\)$#\1#p' "$here/controlplane/go.mod")
version="-X k8s.io/component-base/version.gitVersion=$kubernetes"
cluster() { build "$1" controlplane "k8s.io/kubernetes/cmd/$1" "$version" "Kubernetes $kubernetes; $2"; }
cluster kube-apiserver "about 8 minutes the first time" || exit 1
cluster kubectl "up to a minute" || exit 1
cluster kube-controller-manager "up to two minutes" || exit 1
if ! build etcd etcd go.etcd.io/etcd/server/v3 "" "up to a minute"; then
  # Debian's etcd-server (3.4) serves this API server too.
  command -v etcd >/dev/null || { say "or install Debian's: apt-get install etcd-server"; exit 1; }
  say "taking $(command -v etcd) instead"
  ln -s "$(command -v etcd)" "$folder/etcd"
fi
printf '%s\n' "$folder"
