#!/usr/bin/env bash
# An image without a builder: what `docker load` and `ctr images import` take.
#
# In:  ROOTFS, a folder of rootfs.sh; NAME:TAG; FILE; perhaps ENTRYPOINT, by default the one program of ours in ROOTFS.
# Out: FILE, a tar archive with one layer, started as user 65532 with that entry point.
set -euo pipefail

rootfs=$1 name=$2 file=$3
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
tar -C "$rootfs" --sort=name --mtime=@0 --numeric-owner -cf "$work/layer.tar" .
layer=$(sha256sum "$work/layer.tar" | cut -d' ' -f1)
case $(uname -m) in x86_64) machine=amd64 ;; aarch64) machine=arm64 ;; *) machine=$(uname -m) ;; esac
entrypoint=${4:-/$(cd "$rootfs" && printf '%s' tollway-*)}
cat >"$work/config.json" <<JSON
{"architecture":"$machine","os":"linux","config":{"User":"65532:65532","Entrypoint":["$entrypoint"],"Cmd":["run"],"WorkingDir":"/"},
 "rootfs":{"type":"layers","diff_ids":["sha256:$layer"]},"history":[{"created_by":"images/archive.sh"}]}
JSON
printf '[{"Config":"config.json","RepoTags":["%s"],"Layers":["layer.tar"]}]' "$name" >"$work/manifest.json"
tar -C "$work" -cf "$file" manifest.json config.json layer.tar
