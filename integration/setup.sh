#!/bin/sh
# Installs the Debian packages that are named, if any of them is missing. Needs root for that, and says so.
set -eu

missing=
for package in "$@"; do
    [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || missing="$missing $package"
done
[ -n "$missing" ] || exit 0
if [ "$(id -u)" -ne 0 ]; then
    echo "missing:$missing; install them, or run this as root" >&2
    exit 1
fi
echo "installing:$missing"
# A package's daemon is not started: the tests start engines of their own, and what ran before goes on as it was.
policy=/usr/sbin/policy-rc.d
if [ ! -e $policy ]; then
    printf '#!/bin/sh\nexit 101\n' >$policy
    chmod 755 $policy
    trap 'rm -f $policy' EXIT
fi
# A new machine may be at its own upgrades.
options='-qq -o Acquire::Retries=5 -o DPkg::Lock::Timeout=600'
# shellcheck disable=SC2086 # a list of words
apt-get update $options
# shellcheck disable=SC2086 # a list of words
DEBIAN_FRONTEND=noninteractive apt-get install -y $options --no-install-recommends $missing >/dev/null
