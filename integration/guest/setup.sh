#!/bin/sh
# Makes the guest's image in the folder that is named: Debian's kernel, which has AppArmor and cgroup v2, and an initramfs with the
# runtimes and what they need. The guest is a machine of the architecture that is named (amd64 or arm64), whichever this one is: its
# packages are downloaded and unpacked, and not installed. What is there and was made of the same things stays. Needs root for the
# packages that are missing here.
set -eu

RUNC=v1.5.2

image=$1 arch=$2
here=$(cd "$(dirname "$0")" && pwd)
maker=$here/../filters/testdata/libseccomp.c
case $arch in
    amd64) gnu=x86_64-linux-gnu qemu=qemu-system-x86 ;;
    arm64) gnu=aarch64-linux-gnu qemu=qemu-system-arm ;;
    *) echo "the guest is amd64 or arm64, not $arch" >&2; exit 1 ;;
esac
compiler="gcc libc6-dev"
[ "$arch" = "$(dpkg --print-architecture)" ] || compiler="gcc-$(echo $gnu | tr _ -) libc6-dev-$arch-cross"
# shellcheck disable=SC2086 # a list of words
"$here/../setup.sh" binutils ca-certificates cpio pkg-config $qemu $compiler

mkdir -p "$(dirname "$image")"
new=$(mktemp -d "$image.XXXXXX")
trap 'rm -rf "$new"' EXIT
# A shell that a signal ends would leave out the trap above.
trap 'exit 1' HUP INT TERM

# A package manager of its own: this machine's sources, nothing installed, and the guest's architecture.
mkdir -p "$image.apt/lists/partial" "$new/archives/partial"
: >"$image.apt/status"
cat >"$image.apt/conf" <<CONF
Dir::State::Lists "$image.apt/lists";
Dir::State::status "$image.apt/status";
Dir::Cache::Archives "$new/archives";
Dir::Cache::pkgcache "";
Dir::Cache::srcpkgcache "";
APT::Architecture "$arch";
APT::Architectures {"$arch";};
APT::Sandbox::User "root";
APT::Install-Recommends "false";
Acquire::Languages "none";
Acquire::Retries "5";
CONF
packages() {
    APT_CONFIG="$image.apt/conf" apt-get install -qq -y "$@" apparmor busybox-static crun libseccomp-dev "linux-image-cloud-$arch" runc util-linux
}
if ! APT_CONFIG="$image.apt/conf" apt-get update -qq; then
    [ -e "$image/made-of" ] || exit 1
    echo "the guest's packages are those that were known last" >&2
fi

files=$(packages --print-uris)
made_of=$(echo "runc $RUNC" "$(go version)"; echo "$files" | cut -d' ' -f2-; cat "$here/setup.sh" "$here/init.sh" "$maker")
[ "$made_of" = "$(cat "$image/made-of" 2>/dev/null)" ] && exit

echo "making the guest's image: $arch, Debian's kernel, runc $RUNC and Debian's, crun"
packages --download-only >/dev/null
for package in "$new"/archives/*.deb; do
    dpkg -x "$package" "$new/debian"
done
debian=$new/debian
cp "$debian"/boot/vmlinuz-* "$new/vmlinuz"

root=$new/root
for folder in bin dev etc/apparmor.d job "lib/$gnu" newroot proc programs root run sbin sys tmp usr/bin usr/sbin usr/share var/lib; do
    mkdir -p "$root/$folder"
done
install -m 0755 "$here/init.sh" "$root/init"
cp "$debian/bin/busybox" "$root/bin/busybox"
# need NAME...: the shared libraries of programs and of libraries, and those of these.
need() {
    for of in "$@"; do
        readelf -d "$of" | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p' | while read -r library; do
            [ -e "$root/lib/$gnu/$library" ] && continue
            at=$debian/lib/$gnu/$library
            [ -e "$at" ] || at=$debian/usr/lib/$gnu/$library
            cp -L "$at" "$root/lib/$gnu/$library"
            need "$root/lib/$gnu/$library"
        done
    done
}
for program in usr/sbin/runc usr/bin/crun usr/sbin/apparmor_parser usr/bin/setpriv; do
    at=$debian/$program
    [ -e "$at" ] || at=$debian/${program#usr/}
    cp "$at" "$root/$program"
    need "$at"
done
# The loader stands where the programs say.
loader=$(readelf -l "$root/usr/bin/setpriv" | sed -n 's/.*interpreter: \(.*\)\]/\1/p')
mkdir -p "$root$(dirname "$loader")"
cp "$root/lib/$gnu/${loader##*/}" "$root$loader" # which libc needs, so it is there

# go install takes runc's own module versions. It refuses a GOBIN where it builds for another architecture, hence a GOPATH of its own.
GOMODCACHE=$(go env GOMODCACHE) GOPATH=$new/go GOBIN='' GOARCH=$arch CGO_ENABLED=1 CC=$gnu-gcc \
    PKG_CONFIG_LIBDIR=$debian/usr/lib/$gnu/pkgconfig PKG_CONFIG_SYSROOT_DIR=$debian \
    go install -trimpath -tags 'seccomp netgo osusergo' -ldflags '-s -w -extldflags -static' github.com/opencontainers/runc@$RUNC
find "$new/go/bin" -type f -name runc -exec mv {} "$root/usr/sbin/runc-current" \;
[ -e "$root/usr/sbin/runc-current" ] # find finds nothing without an error
$gnu-gcc -O2 -static -I"$debian/usr/include" -L"$debian/usr/lib/$gnu" -o "$root/usr/bin/libseccomp" "$maker" -lseccomp
cp "$debian"/lib/modules/*/kernel/fs/overlayfs/overlay.ko "$root/lib"
cp -r "$debian/usr/share/apparmor-features" "$root/usr/share"
cp -r "$debian/etc/apparmor" "$root/etc"
cp -r "$debian/etc/apparmor.d/abi" "$debian/etc/apparmor.d/abstractions" "$debian/etc/apparmor.d/tunables" "$root/etc/apparmor.d"
echo 'root:x:0:0:root:/root:/bin/sh' >"$root/etc/passwd"
echo 'root:x:0:' >"$root/etc/group"
(cd "$root" && find . -print0 | cpio --null --quiet -o -H newc -R 0:0) >"$new/root.cpio"

rm -rf "$debian" "$root" "$new/archives" "$new/go"
# Last, because it is what says that all is there.
echo "$made_of" >"$new/made-of"
rm -rf "$image"
mv "$new" "$image"
