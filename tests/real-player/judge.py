#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Judges what the daemon or the player does in a session.

usage: judge.py status CLOCK-IDENTITY OFFSET ADDRESS
       judge.py fresh SECONDS
       judge.py sound FILE SECONDS

The first two read the output of nqptp --status --json on standard input. "status" succeeds if a player
that lists the ADDRESS follows this clock, "fresh" if the last sample of its master is not older than
SECONDS. FILE grows while the player plays.
"""
import json
import os
import sys
import time

FRAME_BYTES = 8  # the player's output: two channels of 32 bits
BYTES_PER_SECOND = 48000 * FRAME_BYTES
SILENCE_LIMIT = 0.02  # the sender's sound crosses zero; a player without a clock puts out nothing or zeros
OFFSET_LIMIT_NS = 1_000_000


def judge_status(identity, offset_ns, listed):
    status = json.load(sys.stdin)
    client = status['clients'][0]
    clock = status['clocks'][client['master']] if client['master'] is not None else {}
    error_ns = (int(clock.get('offset_ns', 0)) - offset_ns + 2**63) % 2**64 - 2**63
    print(f"player {client['player']}, list {client['list']}, layout {client['layout']}, "
          f"master {clock.get('clock_identity')}, error {error_ns} ns")
    return (client['player'] == 'playing' and client['list'] == [listed] and
            client['layout'] == 10 and client['in_use'] and
            clock.get('clock_identity') == identity and abs(error_ns) <= OFFSET_LIMIT_NS)


def judge_fresh(seconds):
    status = json.load(sys.stdin)
    master = status['clients'][0]['master']
    return master is not None and float(status['clocks'][master]['sample_age_s']) <= seconds


def share_of_silence(path, start, end):
    """The share of frames from byte START to byte END that are zero in both channels."""
    with open(path, 'rb') as sound:
        sound.seek(start - start % FRAME_BYTES)
        data = sound.read(end - start)
    frames = [data[i:i + FRAME_BYTES] for i in range(0, len(data), FRAME_BYTES)]
    return frames.count(bytes(FRAME_BYTES)) / max(len(frames), 1)


def judge_sound(path, seconds):
    """Checks that FILE grows by the bytes of one second each second, less a fifth at most."""
    size = os.stat(path).st_size
    begun = before = time.monotonic()
    first, slowest = size, float('inf')
    while before - begun < seconds:
        time.sleep(1)
        now, new_size = time.monotonic(), os.stat(path).st_size
        slowest = min(slowest, (new_size - size) / (now - before))
        before, size = now, new_size
    rate = (size - first) / (before - begun)
    silence = share_of_silence(path, first, size)
    print(f'{rate:.0f} bytes a second, {slowest:.0f} in the slowest second, '
          f'{100 * silence:.1f} % of it silence')
    return (slowest >= 0.8 * BYTES_PER_SECOND and abs(rate / BYTES_PER_SECOND - 1) <= 0.05 and
            silence <= SILENCE_LIMIT)


if sys.argv[1] == 'status':
    good = judge_status(sys.argv[2], int(sys.argv[3]), sys.argv[4])
elif sys.argv[1] == 'fresh':
    good = judge_fresh(float(sys.argv[2]))
else:
    good = judge_sound(sys.argv[2], float(sys.argv[3]))
sys.exit(0 if good else 1)
