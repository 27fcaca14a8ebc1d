#!/usr/bin/env bash
# In: deny.toml, Cargo.lock. Out: licences, bans and sources judged, and advisories when the database can be reached.
# cargo-deny is taken from PATH, else built once into the user's cache (about 3 minutes).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

version=0.20.2
tools=${XDG_CACHE_HOME:-$HOME/.cache}/tollway/tools
export PATH=$PATH:$tools/bin
if ! command -v cargo-deny >/dev/null; then
  echo "building cargo-deny $version, once (about 3 minutes)" >&2
  mkdir -p "$tools"
  # Unoptimised: it runs for a second, so the time is in the build. Its own target folder keeps ours small.
  CARGO_TARGET_DIR=$tools/target cargo install "cargo-deny@$version" --locked --no-default-features --debug --root "$tools"
  rm -rf "$tools/target"
fi

cargo deny check --hide-inclusion-graph licenses bans sources
if GIT_TERMINAL_PROMPT=0 timeout 20 git ls-remote --exit-code https://github.com/RustSec/advisory-db HEAD >/dev/null 2>&1; then
  cargo deny check advisories
else
  echo "advisories NOT checked: https://github.com/RustSec/advisory-db cannot be reached from here" >&2
fi
