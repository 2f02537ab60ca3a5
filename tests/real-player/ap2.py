#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""The RTSP half of an AirPlay 2 sender with PTP timing, as small as Shairport Sync accepts it: no
pairing, no mDNS, uncompressed sound. The sender's clock is another program's, at the same address.
It needs libsodium. It plays until SIGTERM, or for SECONDS at most, and then ends the session. SIGUSR1
begins a pause, and ends it.

usage: ap2.py PLAYER CLOCK-IDENTITY OFFSET SECONDS
CLOCK-IDENTITY is hexadecimal; OFFSET is its time minus CLOCK_MONOTONIC_RAW, in nanoseconds.
"""
import ctypes
import ctypes.util
import plistlib
import signal
import socket
import struct
import sys
import time

FRAMES = 352  # in a packet
RATE = 44100  # frames in a second
KEY = bytes(range(32))

sodium = ctypes.CDLL(ctypes.util.find_library('sodium'))


def connect(player, port):
    """A connection that outlives an outage of some minutes."""
    connection = socket.create_connection((player, port), 5)
    connection.settimeout(400)
    return connection


class Rtsp:
    def __init__(self, player):
        self.player = player
        self.socket = connect(player, 7000)
        self.own_address = self.socket.getsockname()[0]
        self.url = f'rtsp://{self.own_address}/1'
        self.sequence = 0

    def ask(self, method, path, body=None):
        """Sends a request and returns the answer's property list, or {}."""
        self.sequence += 1
        data = b'' if body is None else plistlib.dumps(body, fmt=plistlib.FMT_BINARY)
        head = (f'{method} {path} RTSP/1.0\r\nCSeq: {self.sequence}\r\n'
                'User-Agent: AirPlay/665.13.1\r\nX-Apple-ProtocolVersion: 1\r\n'
                'Content-Type: application/x-apple-binary-plist\r\n'
                f'Content-Length: {len(data)}\r\n\r\n')
        self.socket.sendall(head.encode() + data)
        return self.read_answer(method)

    def read_answer(self, method):
        answer = b''
        while b'\r\n\r\n' not in answer:
            answer += self.receive(method)
        head, body = answer.split(b'\r\n\r\n', 1)
        lines = head.decode().split('\r\n')
        length = next((int(line.split(':')[1]) for line in lines
                       if line.lower().startswith('content-length')), 0)
        while len(body) < length:
            body += self.receive(method)
        print(f'{method}: {lines[0]}', flush=True)
        if ' 200 ' not in lines[0]:
            sys.exit(f'{method} was refused')
        return plistlib.loads(body) if body.startswith(b'bplist') else {}

    def receive(self, method):
        return self.socket.recv(65536) or sys.exit(f'{method}: the player closed the connection')


def alac_frame(number):
    """Stereo of 16 bits as an uncompressed ALAC frame: a saw-tooth, so that it is not silence."""
    bits = 1 << 20 | 1  # one channel pair, no size, "not compressed": 23 bits
    for i in range(FRAMES):
        level = (number * FRAMES + i) * 100 % 2000
        bits = bits << 32 | level << 16 | level
    bits = bits << 3 | 7  # end
    return (bits << 6).to_bytes((23 + FRAMES * 32 + 3 + 6) // 8, 'big')


def audio_packet(number):
    """An encrypted RTP packet of the buffered stream, with its length before it."""
    head = struct.pack('>III', 0x80000000 | number, number * FRAMES, 0x0000FACE)
    text, nonce = alac_frame(number), struct.pack('<Q', number)
    out, size = ctypes.create_string_buffer(len(text) + 16), ctypes.c_ulonglong()
    sodium.crypto_aead_chacha20poly1305_ietf_encrypt(
        out, ctypes.byref(size), text, ctypes.c_ulonglong(len(text)), head[4:12],
        ctypes.c_ulonglong(8), None, bytes(4) + nonce, KEY)
    packet = head + out.raw + nonce
    return struct.pack('>H', len(packet) + 2) + packet


def set_up(rtsp):
    """Begins a session and returns the connection for its sound."""
    rtsp.ask('SETUP', rtsp.url, {
        'timingProtocol': 'PTP', 'name': 'test', 'deviceID': '02:00:00:00:00:01',
        'groupUUID': '5A3E3A0B-0000-4000-8000-000000000001', 'groupContainsGroupLeader': False,
        'timingPeerInfo': {'Addresses': [rtsp.own_address], 'ID': rtsp.own_address}})
    # The player ends if its event port is connected to without the key that pairing would give.
    streams = rtsp.ask('SETUP', rtsp.url, {'streams': [
        {'type': 103, 'ct': 2, 'audioFormat': 0x40000, 'spf': FRAMES, 'shk': KEY}]})['streams']
    return connect(rtsp.player, streams[0]['dataPort'])


def anchor(rtsp, clock, start_ns):
    """Says when the first frame is due, or was."""
    rtsp.ask('SETRATEANCHORTI', rtsp.url, {
        'networkTimeSecs': start_ns // 10**9,
        'networkTimeFrac': (start_ns % 10**9) * 2**64 // 10**9,
        'networkTimeTimelineID': clock, 'rtpTime': 0, 'rate': 1})


def start_playing(rtsp, clock, start_ns):
    """Says "play" first and when only then: in the other order the player may divide by zero."""
    rtsp.ask('RECORD', rtsp.url)
    rtsp.ask('SETRATEANCHORTI', rtsp.url, {'rate': 1})
    anchor(rtsp, clock, start_ns)


class Toggle:
    """SIGUSR1 begins a pause and ends it."""
    def __init__(self):
        self.is_on = False
        signal.signal(signal.SIGUSR1, self.turn)

    def turn(self, *_):
        self.is_on = not self.is_on


def main():
    player, clock, offset_ns, seconds = (
        sys.argv[1], int(sys.argv[2], 16), int(sys.argv[3]), float(sys.argv[4]))

    told_to_end = []
    signal.signal(signal.SIGTERM, lambda *_: told_to_end.append(True))
    pause = Toggle()

    def now_ns():
        return (time.clock_gettime_ns(time.CLOCK_MONOTONIC_RAW) + offset_ns) % 2**64

    def wait_out_pause():
        """Returns how long the pause was."""
        begun_ns = now_ns()
        rtsp.ask('SETRATEANCHORTI', rtsp.url, {'rate': 0})
        print('paused', flush=True)
        while pause.is_on and not told_to_end:
            time.sleep(1)
            rtsp.ask('POST', '/feedback')
        return now_ns() - begun_ns

    rtsp = Rtsp(player)
    audio = set_up(rtsp)
    start_ns = now_ns() + 1_500_000_000
    start_playing(rtsp, clock, start_ns)
    sent, end = 0, time.monotonic() + seconds
    while not told_to_end and time.monotonic() < end:
        if pause.is_on:
            start_ns += wait_out_pause() + 500_000_000
            anchor(rtsp, clock, start_ns)
        elif sent * FRAMES / RATE < (now_ns() - start_ns) / 1e9 + 3:  # 3 s ahead
            audio.sendall(audio_packet(sent))
            sent += 1
            if sent % 250 == 0:  # about every 2 s, as senders do
                rtsp.ask('POST', '/feedback')
        else:
            time.sleep(0.05)
    rtsp.ask('TEARDOWN', rtsp.url, {'streams': [{'type': 103}]})
    rtsp.ask('TEARDOWN', rtsp.url, {})


main()
