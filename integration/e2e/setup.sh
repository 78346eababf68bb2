#!/bin/sh
# Puts the engines of the end-to-end tests in place: Debian's own by apt-get, the current ones built into the folder that is
# named. What is there at the right version stays.
set -eu

RUNC=v1.5.2
CONTAINERD=v2.4.2
DOCKERD=v2.0.0-beta.24

tools=$1
here=$(dirname "$0")
"$here/../setup.sh" docker.io containerd runc podman conmon containernetworking-plugins uidmap \
    busybox-static iptables bsdutils gcc libseccomp-dev pkg-config

# install PACKAGE VERSION MODULE [BUILD FLAGS]
install() {
    package=$1 version=$2
    shift 2
    program=$tools/$(basename "$package")
    [ "$(go version -m "$program" 2>/dev/null | awk '$1 == "mod" {print $3}')" = "$version" ] && return
    echo "building $(basename "$package") $version"
    GOBIN=$tools CGO_ENABLED=1 go install "$@" "$package@$version"
}
install github.com/opencontainers/runc $RUNC -tags seccomp
install github.com/containerd/containerd/v2/cmd/containerd $CONTAINERD
install github.com/containerd/containerd/v2/cmd/containerd-shim-runc-v2 $CONTAINERD
install github.com/moby/moby/v2/cmd/dockerd $DOCKERD
