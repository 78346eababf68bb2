#!/bin/sh
# Makes the archive that is named: a current Docker with what it needs, for the guest, to be unpacked over its root. The programs are
# those of the end-to-end tests, which are built into the folder that is named first unless they are there. What is there and was made of
# the same things stays.
set -eu

tools=$1 archive=$2
here=$(cd "$(dirname "$0")" && pwd)
"$here/../../e2e/setup.sh" "$tools"
programs="$tools/dockerd $tools/containerd $tools/containerd-shim-runc-v2 /usr/bin/docker"

# shellcheck disable=SC2086 # a list of words
made_of=$(sha256sum $programs; dpkg-query -W libc6; cat "$here/setup.sh")
[ "$made_of" = "$(cat "$archive.made-of" 2>/dev/null)" ] && exit

echo "making the guest's Docker"
mkdir -p "$(dirname "$archive")"
new=$(mktemp -d "$archive.XXXXXX")
trap 'rm -rf "$new"' EXIT
# A shell that a signal ends would leave out the trap above.
trap 'exit 1' HUP INT TERM

root=$new/root
mkdir -p "$root/docker" "$root/sbin"
for program in $programs; do
    # All of it is in the guest's memory, and symbols are half of it.
    strip -o "$root/docker/$(basename "$program")" "$program"
    ldd "$program" | grep -oE '/[^ ]+' | while read -r library; do
        mkdir -p "$root$(dirname "$library")"
        cp -L "$library" "$root$library"
    done
done
# Where Docker looks for it, and where it is on a Debian whose /sbin is /usr/sbin: without it, Docker believes that there is no AppArmor.
ln -s ../usr/sbin/apparmor_parser "$root/sbin/apparmor_parser"
(cd "$root" && find . -print0 | cpio --null --quiet -o -H newc -R 0:0) >"$new/archive"

rm -f "$archive.made-of"
mv "$new/archive" "$archive"
# Last, because it is what says that all is there.
echo "$made_of" >"$archive.made-of"
