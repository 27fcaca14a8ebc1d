#!/usr/bin/env bash
# What is in each image: a CycloneDX bill of materials of every crate, with versions, licences and checksums.
#
# In:  Cargo.lock; cargo-cyclonedx from PATH, else built once into the user's cache (about 2 minutes).
# Out: dist/tollway-operator.cdx.json and dist/tollway-proxy.cdx.json.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

version=0.5.9
tools=${XDG_CACHE_HOME:-$HOME/.cache}/tollway/tools
export PATH=$PATH:$tools/bin
if ! command -v cargo-cyclonedx >/dev/null; then
  echo "building cargo-cyclonedx $version, once (about 2 minutes)" >&2
  mkdir -p "$tools"
  CARGO_TARGET_DIR=$tools/target cargo install "cargo-cyclonedx@$version" --locked --debug --root "$tools"
  rm -rf "$tools/target"
fi

mkdir -p dist
for name in operator proxy; do
  cargo cyclonedx --manifest-path "$name/Cargo.toml" --format json --override-filename "tollway-$name.cdx" --quiet
  mv "$name/tollway-$name.cdx.json" dist/
done
# The tool writes one for every member of the workspace.
find . -maxdepth 2 -name 'tollway-*.cdx.json' -not -path './dist/*' -delete
ls -l dist/*.cdx.json
