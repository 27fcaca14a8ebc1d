#!/usr/bin/env bash
# In: what to prepare for (test or bench). Out: the Debian packages it needs are there; installed when we are root, named when not.
set -euo pipefail

wanted=()
needs() { command -v "$1" >/dev/null || wanted+=("$2"); }

needs cc build-essential
needs curl curl
needs flock util-linux
needs git git
[[ "${1:-}" == test ]] && needs redis-server redis-server
[[ "${1:-}" == test ]] && needs prometheus prometheus
# A whole node runs in the tests as root only.
if [[ "${1:-}" == test && $(id -u) -eq 0 ]]; then
  PATH=$PATH:/usr/sbin:/sbin
  needs containerd containerd
  needs runc runc
  needs iptables iptables
  needs ip iproute2
  needs busybox busybox-static
  [[ -x /usr/lib/cni/ptp ]] || wanted+=(containernetworking-plugins)
fi
"${PYTHON:-python3}" -c 'import ensurepip, venv' 2>/dev/null || wanted+=(python3-venv)
[[ "${1:-test}" == bench ]] && PATH=$PATH:/usr/sbin needs nginx nginx-light

for tool in "cargo|Rust 1.94 or later: https://rustup.rs" "go|Go 1.26 or later: https://go.dev/dl" "python3|Python 3.10 or later"; do
  [[ "${1:-}" == quickstart && "$tool" != cargo* ]] && continue
  command -v "${tool%%|*}" >/dev/null || { echo "needs ${tool#*|}" >&2; exit 1; }
done

[[ ${#wanted[@]} -eq 0 ]] && exit 0
if [[ $(id -u) -eq 0 ]] && command -v apt-get >/dev/null; then
  echo "installing ${wanted[*]}" >&2
  export DEBIAN_FRONTEND=noninteractive
  apt-get update -qq && apt-get install -y -qq --no-install-recommends "${wanted[@]}"
else
  echo "needs these Debian packages: sudo apt-get install ${wanted[*]}" >&2
  exit 1
fi
