#!/usr/bin/env bash
# In:  the source tree; ./vendor when `make vendor` made it, for a build without a network. OUT, a folder.
# Out: OUT/operator and OUT/proxy, the root file systems of the two images.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

out=$1
settings=(--locked --release)
if [[ -d vendor ]]; then
  settings+=(--offline --config 'source.crates-io.replace-with="vendored"' --config 'source.vendored.directory="vendor"')
fi
cargo build "${settings[@]}" -p tollway-operator -p tollway-proxy
built=${CARGO_TARGET_DIR:-target}/release
for name in operator proxy; do images/rootfs.sh "$built/tollway-$name" "$out/$name"; done
