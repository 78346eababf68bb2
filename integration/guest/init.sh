#!/bin/busybox sh
# PID 1 of the guest. It makes a machine of the initramfs, runs the tests in /programs and ends with their result.
export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root

# The root of an initramfs has no mount above it, so that pivot_root(2) refuses it, and with it every runtime. The same folder
# mounted on itself has one; nothing is copied.
if [ "$1" != again ]; then
    /bin/busybox --install -s /bin
    mount -t devtmpfs dev /dev
    mount -t proc proc /proc
    mount --bind / /newroot
    mount --move /dev /newroot/dev
    mount --move /proc /newroot/proc
    cd /newroot || exit
    mount --move . /
    exec chroot . /init again
fi

mount -t sysfs -o nosuid,nodev,noexec sys /sys
mount -t securityfs securityfs /sys/kernel/security
mount -t cgroup2 -o nsdelegate cgroup2 /sys/fs/cgroup
mkdir -p /dev/pts /dev/shm
mount -t devpts -o gid=5,mode=620,ptmxmode=666 devpts /dev/pts
mount -t tmpfs -o mode=1777 tmpfs /dev/shm
mount -t tmpfs -o mode=1777 tmpfs /tmp
mount -t tmpfs -o mode=755 tmpfs /run
ln -sf /proc/self/fd /dev/fd
ip link set lo up
hostname guest
insmod /lib/overlay.ko
# The kernel leaves out audit records that come in bursts (printk(9)).
echo 0 >/proc/sys/kernel/printk_ratelimit
# A line end is a line end.
stty -opost </dev/console

# What run asks for: a test program, the delegate that it is about, and the tests.
{ read -r program; read -r delegate; read -r tests; } </job/job
export RUNCLAMP_GUEST=1 RUNCLAMP_TEST_PROGRAMS=/programs RUNCLAMP_TEST_RUNC="$delegate"
echo "guest: kernel $(uname -r), ready after $(cut -d' ' -f1 /proc/uptime) s"
cd /programs || exit
# Without an end of its own: run ends a guest that says nothing for too long, and a busy machine takes seven times as long as an idle one.
"./$program" -test.v -test.run "$tests" -test.timeout 0
status=$?
# The line that run looks for. The empty one before it is for a test that ends without one.
echo
echo "guest: status $status"
reboot -f
