#!/bin/sh
# SPDX-License-Identifier: MIT
#
# The first process of the machine that machine.sh boots, or a service of systemd there. It runs the
# tests that /tests lists, one a line, and writes their output to the second serial port, with a line
# at the begin and end of each.

if [ $$ -eq 1 ]; then
    mount -t proc proc /proc
    mount -t sysfs sysfs /sys
    mount -t devtmpfs devtmpfs /dev
    mkdir -p /dev/shm
    mount -t tmpfs -o mode=1777 tmpfs /dev/shm
    mount -t tmpfs -o mode=1777 tmpfs /tmp
    mount -t tmpfs tmpfs /run
    mount -t cgroup2 cgroup2 /sys/fs/cgroup
    ln -s /proc/self/fd /dev/fd
fi
for module in af_packet virtio_pci virtio_net rtc_cmos; do modprobe -q $module; done
stty -F /dev/ttyS1 raw
exec </dev/null >/dev/ttyS1 2>&1

export PATH=/usr/sbin:/usr/bin:/sbin:/bin LANG=C NQPTP_MACHINE=yes
ip link set lo up
cd /nqptp || exit
echo "machine: Linux $(uname -r)"
while read -r test; do
    echo "machine: begin $test"
    status=0
    case $test in
    *.sh) sh "$test" || status=$? ;;
    *) "$test" || status=$? ;;
    esac
    echo "machine: end $test $status"
done </tests
echo 'machine: done'
sleep 0.2
echo b >/proc/sysrq-trigger
sleep 60
