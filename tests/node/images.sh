#!/usr/bin/env bash
# Every image of the test node as an archive that `ctr images import` takes: no registry, no builder.
#
# In:  FOLDER, which is made; OPERATOR and PROXY, built programs.
# Out: FOLDER/{operator,proxy}.tar with the names that the chart has for them, pause.tar (what holds a Pod's network) and client.tar
#      (curl and a shell, under the name that docs/install.md has for it).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

folder=$1 operator=$2 proxy=$3
version=$(sed -n 's/^appVersion: //p' charts/tollway/Chart.yaml)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$folder"

for program in "$operator" "$proxy"; do
  name=$(basename "$program")
  # Debug symbols are nine tenths of a debug build.
  strip -o "$work/$name" "$program"
  images/rootfs.sh "$work/$name" "$work/${name}.root"
  images/archive.sh "$work/${name}.root" "$name:$version" "$folder/${name#tollway-}.tar"
done

mkdir -p "$work/pause.root"
cc -static -Os -s -x c -o "$work/pause.root/pause" - <<'C'
#include <signal.h>
#include <unistd.h>
static void end(int signal) { _exit(0); }
int main(void) { signal(SIGTERM, end); signal(SIGINT, end); signal(SIGCHLD, SIG_IGN); for (;;) pause(); }
C
images/archive.sh "$work/pause.root" tollway-pause:test "$folder/pause.tar" /pause

images/rootfs.sh "$(command -v curl)" "$work/client.root"
mkdir -p "$work/client.root"/{bin,usr/bin}
mv "$work/client.root/curl" "$work/client.root/usr/bin/curl"
cp "$(command -v busybox)" "$work/client.root/bin/busybox"
for name in sh sleep cat ls wget; do ln -s busybox "$work/client.root/bin/$name"; done
image=$(grep -o 'image=curlimages/curl:[^ ]*' docs/install.md)
images/archive.sh "$work/client.root" "${image#image=}" "$folder/client.tar" /bin/sh
