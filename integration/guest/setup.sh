#!/bin/sh
# Makes the guest's image in the folder that is named: Debian's kernel, which has AppArmor and cgroup v2, and an initramfs with the
# runtimes and what they need. What is there and was made of the same things stays. Needs root for the packages that are missing.
set -eu

RUNC=v1.5.2

image=$1
here=$(cd "$(dirname "$0")" && pwd)
machine=$(uname -m)
[ "$machine" = x86_64 ] || { echo "the guest is an x86-64 machine, this is $machine: run it on x86-64" >&2; exit 1; }
packages="apparmor busybox-static cpio crun gcc libseccomp-dev pkg-config qemu-system-x86 runc util-linux"
# shellcheck disable=SC2086 # a list of words
"$here/../setup.sh" $packages

# The kernel's package, named by the one that depends on the latest: "linux-image-6.1.0-56-cloud-amd64 6.1.192-2".
kernel() {
    name=$(apt-cache depends linux-image-cloud-amd64 2>/dev/null | awk '$1 == "Depends:" && $2 ~ /^linux-image-/ {print $2; exit}')
    [ -n "$name" ] && echo "$name $(apt-cache policy "$name" | awk '$1 == "Candidate:" {print $2}')"
}
kernel >/dev/null || apt-get update -qq
kernel=$(kernel) || { echo "apt-cache knows no linux-image-cloud-amd64: the guest needs Debian's packages" >&2; exit 1; }

# shellcheck disable=SC2086 # a list of words
made_of=$(echo "$kernel" "runc $RUNC" "$(go version)"; dpkg-query -W $packages; cat "$here/setup.sh" "$here/init.sh")
[ "$made_of" = "$(cat "$image/made-of" 2>/dev/null)" ] && exit

echo "making the guest's image: ${kernel%% *}, runc $RUNC and Debian's, crun"
mkdir -p "$(dirname "$image")"
new=$(mktemp -d "$image.XXXXXX")
trap 'rm -rf "$new"' EXIT
# A shell that a signal ends would leave out the trap above.
trap 'exit 1' HUP INT TERM

# Its lists may name a package that was replaced since. Without the sandbox: its user may not write here.
download() { (cd "$new" && apt-get download -qq -o APT::Sandbox::User=root "${kernel%% *}"); }
download || { apt-get update -qq && download; }
dpkg -x "$new"/linux-image-*.deb "$new/kernel"
cp "$new"/kernel/boot/vmlinuz-* "$new/vmlinuz"

root=$new/root
for folder in bin dev etc/apparmor.d job lib newroot proc programs root run sbin sys tmp usr/bin usr/sbin usr/share var/lib; do
    mkdir -p "$root/$folder"
done
install -m 0755 "$here/init.sh" "$root/init"
cp /usr/bin/busybox "$root/bin/busybox"
for applet in $(busybox --list); do
    [ -e "$root/bin/$applet" ] || ln -s busybox "$root/bin/$applet"
done
for program in /usr/sbin/runc /usr/bin/crun /usr/sbin/apparmor_parser /usr/bin/setpriv; do
    cp "$program" "$root$program"
    ldd "$program" | grep -oE '/[^ ]+' | while read -r library; do
        mkdir -p "$root$(dirname "$library")"
        cp -L "$library" "$root$library"
    done
done
GOBIN=$new CGO_ENABLED=1 go install -trimpath -tags 'seccomp netgo osusergo' -ldflags '-s -w -extldflags -static' \
    github.com/opencontainers/runc@$RUNC
mv "$new/runc" "$root/usr/sbin/runc-current"
cp "$new"/kernel/lib/modules/*/kernel/fs/overlayfs/overlay.ko "$root/lib"
cp -r /usr/share/apparmor-features "$root/usr/share"
cp -r /etc/apparmor "$root/etc"
cp -r /etc/apparmor.d/abi /etc/apparmor.d/abstractions /etc/apparmor.d/tunables "$root/etc/apparmor.d"
echo 'root:x:0:0:root:/root:/bin/sh' >"$root/etc/passwd"
echo 'root:x:0:' >"$root/etc/group"
(cd "$root" && find . -print0 | cpio --null --quiet -o -H newc -R 0:0) >"$new/root.cpio"

rm -rf "$new/kernel" "$root" "$new"/*.deb
# Last, because it is what says that all is there.
echo "$made_of" >"$new/made-of"
rm -rf "$image"
mv "$new" "$image"
