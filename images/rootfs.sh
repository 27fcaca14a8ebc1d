#!/usr/bin/env bash
# A program and what it needs to run, in a folder of their own: no shell, no package manager, nothing else.
#
# In:  PROGRAM, a dynamically linked binary of this machine; FOLDER, which is made.
# Out: FOLDER with the program at its root, its libraries, name resolution, the authorities of the public web, user 65532.
set -euo pipefail

program=$1 folder=$2
mkdir -p "$folder"/{etc/ssl/certs,tmp,var/lib/tollway}
chmod 1777 "$folder/tmp"
install -m 0755 "$program" "$folder/$(basename "$program")"

copy() { [[ -e "$folder$1" ]] || { mkdir -p "$folder$(dirname "$1")"; cp -L "$1" "$folder$1"; }; }
libraries() { ldd "$1" | grep -o '/[^ ]*' | sort -u; }
for library in $(libraries "$program"); do copy "$library"; done
# libc opens these by name when a host is looked up.
near=$(dirname "$(libraries "$program" | grep -m1 '/libc\.so')")
for library in "$near"/libnss_{files,dns}.so.2 "$near/libresolv.so.2"; do [[ -e "$library" ]] && copy "$library"; done

cp -L /etc/ssl/certs/ca-certificates.crt "$folder/etc/ssl/certs/"
printf 'hosts: files dns\n' >"$folder/etc/nsswitch.conf"
printf 'tollway:x:65532:65532::/:/nonexistent\n' >"$folder/etc/passwd"
printf 'tollway:x:65532:\n' >"$folder/etc/group"
chown -R 65532:65532 "$folder/var/lib/tollway" 2>/dev/null || true
