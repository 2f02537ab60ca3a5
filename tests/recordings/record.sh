#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Makes the recordings anew, in namespaces of its own, from the top of a built tree, as root:
#     unshare -nm sh tests/recordings/record.sh
# It takes a minute and a half, tcpdump, python3 (to read two clocks at once) and editcap (Debian
# package wireshark-common). See README beside it.

set -eu
top=$(cd "$(dirname "$0")" && pwd)
sender=$(pwd)/tests/tools/ptp-sender

unshare -n sleep 1000 &
there=$!
trap 'kill $there' EXIT
while test "$(readlink "/proc/$there/ns/net")" = "$(readlink /proc/self/ns/net)"; do sleep 0.05; done
mount -t tmpfs tmpfs /dev/shm
ip link set lo up
ip link add here type veth peer name there netns "$there"
ip addr add 10.77.0.1/24 dev here
ip link set here up
nsenter -t "$there" -n ip addr add 10.77.0.2/24 dev there
nsenter -t "$there" -n ip addr add 10.77.0.3/24 dev there
nsenter -t "$there" -n ip link set there up
sleep 1

# CLOCK_REALTIME, and CLOCK_MONOTONIC_RAW at the same moment, of the quickest of 100 readings.
clocks() {
    python3 - <<'PYTHON'
import time
best = None
for _ in range(100):
    before = time.clock_gettime_ns(time.CLOCK_MONOTONIC_RAW)
    real = time.time_ns()
    after = time.clock_gettime_ns(time.CLOCK_MONOTONIC_RAW)
    if best is None or after - before < best[0]:
        best = after - before, real, (before + after) // 2
print(best[1], best[2])
PYTHON
}

start() { # FILE TCPDUMP-OPTION...
    file=$1
    shift
    tcpdump -q -Z root -s 262144 -w "$file" "$@" 2>/dev/null &
    dump=$!
    sleep 1
    begun=$(clocks)
}

# Ends the capture, and writes the truth: the master's offset as ptp-sender makes it, seen from
# CLOCK_REALTIME as the kernel's time stamps are.
finish() { # NAME OFFSET SKEW [SLEPT-NS REALTIME-NS-OF-THE-END-OF-THE-SLEEP]
    ended=$(clocks)
    sleep 1
    kill $dump
    wait $dump || true
    python3 - "$begun" "$ended" "$@" >"$top/$1.truth" <<'PYTHON'
import sys
real0, raw0 = map(int, sys.argv[1].split())
real1, raw1 = map(int, sys.argv[2].split())
offset, skew = int(sys.argv[4]), float(sys.argv[5])
ppb = int(skew * 1000)
rate = (raw1 - raw0) / (real1 - real0)  # of CLOCK_MONOTONIC_RAW, by CLOCK_REALTIME

def truth(real, slept):
    raw = raw0 + round((real - real0) * rate) - slept
    skewed = raw // 10**9 * ppb + raw % 10**9 * ppb // 10**9
    ppm = (rate * (1 + ppb * 1e-9) - 1) * 1e6
    print('98698aaf9c950008', real, (raw + skewed + offset - real) % 2**64, f'{ppm:.6f}')

print('# master; from this CLOCK_REALTIME on, ns; its time less that, ns modulo 2^64; rate, ppm')
truth(real0, 0)
if len(sys.argv) > 6:
    truth(int(sys.argv[7]), int(sys.argv[6]))
PYTHON
}

send() { # OPTION...
    nsenter -t "$there" -n "$sender" --low-ports --to 10.77.0.1 --from 10.77.0.2 "$@"
}

# Wired: pcap, nanoseconds, Ethernet; two masters, of which the better one comes later.
start "$top/wired.pcap" -i here --time-stamp-precision=nano udp port 319 or udp port 320
nsenter -t "$there" -n "$sender" --to 10.77.0.1 --from 10.77.0.3 --identity 0b --delay wired \
    --seconds 6 --priority1 250 --offset 77000000000 &
sleep 3
send --delay wired --correction 1450000 --skew 12 --offset 5000000000000 --seconds 20
finish wired 5000000000000 12

# Wifi: pcapng by way of editcap, any interface, with a player's command and what nqptp then sends.
./nqptp --user=root --group=root &
daemon=$!
sleep 1
start "$top/wifi.pcap" -i any --time-stamp-precision=nano \
    udp port 319 or udp port 320 or udp port 9000
(sleep 1; python3 -c "import socket
socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'/nqptp T 10.77.0.2', ('127.0.0.1', 9000))") &
send --delay wifi --skew -8 --offset 900000000000000 --seconds 25
finish wifi 900000000000000 -8
kill $daemon
editcap -F pcapng "$top/wifi.pcap" "$top/wifi.pcapng"
rm "$top/wifi.pcap"

# Asleep: pcap, microseconds; the clock stands still for 8 s.
start "$top/asleep.pcap" -i here --time-stamp-precision=micro udp port 319 or udp port 320
sent=$(date +%s%N)
send --delay wired --offset 3000000000000 --sleep-after 8 --sleep-for 8 --seconds 24
finish asleep 3000000000000 0 8000000000 $((sent + 16000000000))

# Stood still: pcap, nanoseconds. What came from 10 s to 70 s is given the times at which a host gets
# it that stood still meanwhile: 5 us apart, as it wakes up. What came later is 60 s earlier.
start "$top/stood-still.pcap" -i here --time-stamp-precision=nano udp port 319 or udp port 320
still=$(($(date +%s%N) + 10000000000))
send --delay wired --offset 7000000000000 --seconds 85
finish stood-still 7000000000000 0 -60000000000 $still
python3 - "$top/stood-still.pcap" $still 60000000000 <<'PYTHON'
import struct, sys
name, still, length = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
data = open(name, 'rb').read()
out, at, waited = bytearray(data[:24]), 24, 0
while at < len(data):
    seconds, ns, size, whole = struct.unpack_from('<IIII', data, at)
    time = seconds * 10**9 + ns
    if still <= time < still + length:
        time = still + 5000 * waited
        waited += 1
    elif time >= still + length:
        time = max(time - length, still + 5000 * waited)
    out += struct.pack('<IIII', *divmod(time, 10**9), size, whole) + data[at + 16:at + 16 + size]
    at += 16 + size
open(name, 'wb').write(out)
PYTHON

chmod 644 "$top"/*.pcap "$top"/*.pcapng "$top"/*.truth
ls -l "$top"
