#!/bin/sh
# Puts a Kubernetes node's programs in place: etcd and the network plugins by apt-get, the rest built into the folder
# that is named, from the versions that node/go.mod pins. What is there at the right version stays. Building takes ten minutes
# on two cores, once.
set -eu

RUNC=v1.5.2
CONTAINERD=v2.4.2

tools=$1
here=$(cd "$(dirname "$0")" && pwd)
"$here/../setup.sh" etcd-server containernetworking-plugins iproute2 busybox-static gcc libseccomp-dev pkg-config
mkdir -p "$tools"

# built PROGRAM MODULE VERSION: it is there.
built() {
    [ "$(go version -m "$tools/$1" 2>/dev/null | awk -v m="$2" '($1 == "mod" || $1 == "dep") && $2 == m {print $3}')" = "$3" ]
}

# install PACKAGE MODULE VERSION [BUILD FLAGS]
install() {
    package=$1 module=$2 version=$3
    shift 3
    built "$(basename "$package")" "$module" "$version" && return
    echo "building $(basename "$package") $version"
    GOBIN=$tools CGO_ENABLED=1 nice go install "$@" "$package@$version"
}
install github.com/opencontainers/runc github.com/opencontainers/runc $RUNC -tags seccomp
install github.com/containerd/containerd/v2/cmd/containerd github.com/containerd/containerd/v2 $CONTAINERD
install github.com/containerd/containerd/v2/cmd/containerd-shim-runc-v2 github.com/containerd/containerd/v2 $CONTAINERD

install github.com/containerd/containerd/v2/cmd/ctr github.com/containerd/containerd/v2 $CONTAINERD

# Kubernetes' modules can only be built with the replacements in node/go.mod, so not by "go install …@version".
cd "$here/node"
kubernetes=$(go list -m -f '{{.Version}}' k8s.io/kubernetes)
minor=${kubernetes#v1.}
version=k8s.io/component-base/version
for program in kube-apiserver kube-controller-manager kube-scheduler kubelet kubectl; do
    built $program k8s.io/kubernetes "$kubernetes" && continue
    echo "building $program $kubernetes"
    CGO_ENABLED=0 nice go build -trimpath -o "$tools/$program" \
        -ldflags "-s -w -X $version.gitVersion=$kubernetes -X $version.gitMajor=1 -X $version.gitMinor=${minor%%.*}" "k8s.io/kubernetes/cmd/$program"
done
