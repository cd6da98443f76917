# SPDX-License-Identifier: Apache-2.0
"""Clients that are slow, hostile or many; and the end of the server."""
import json
import signal
import socket
import threading
import time

import numpy as np
import pytest
import tritonclient.http as client

from conftest import read_reply, write_slow
from test_http import body

REQUEST = b"POST /v2/models/simple/infer HTTP/1.1\r\nHost: x\r\n"


def raw(server, data):
    with server.connect() as s:
        s.sendall(data)
        return read_reply(s)


def test_byte_by_byte(server):
    text = body().encode()
    with server.connect() as s:
        for byte in REQUEST + b"Content-Length: %d\r\n\r\n" % len(text) + text:
            s.send(bytes([byte]))
        assert read_reply(s)[0] == 200


def test_pipelined_requests_are_answered_in_order(server):
    texts = [body(id=str(i)).encode() for i in range(50)]
    with server.connect() as s:
        s.sendall(b"".join(REQUEST + b"Content-Length: %d\r\n\r\n" % len(t) + t for t in texts))
        data = b""
        while data.count(b'"id":') < 50:
            data += s.recv(65536)
        ids = [part.split(b'"')[1] for part in data.split(b'"id":')[1:]]
        assert ids == [str(i).encode() for i in range(50)]


def test_chunked_bodies(server):
    text = body().encode()
    for size in (1, 7, len(text)):
        chunks = b"".join(b"%x\r\n%s\r\n" % (len(text[i:i + size]), text[i:i + size]) for i in range(0, len(text), size))
        assert raw(server, REQUEST + b"Transfer-Encoding: chunked\r\n\r\n" + chunks + b"0\r\n\r\n")[0] == 200
    assert raw(server, REQUEST + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n")[0] == 400


def test_expect_continue(server):
    text = body().encode()
    with server.connect() as s:
        s.sendall(REQUEST + b"Expect: 100-continue\r\nContent-Length: %d\r\n\r\n" % len(text))
        assert s.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        s.sendall(text)
        assert read_reply(s)[0] == 200


@pytest.mark.parametrize("head,status", [
    (b"Content-Length: 99999999999\r\n\r\n", 413),
    (b"Content-Length: 18446744073709551616\r\n\r\n", 400),
    (b"Content-Length: -1\r\n\r\n", 400),
    (b"Content-Length: 4\r\nContent-Length: 5\r\n\r\n", 400),
    (b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
    (b"A: " + b"b" * 100000 + b"\r\n\r\n", 431),
    (b"A: b\r\n" * 20000 + b"\r\n", 431),
    (b"\x00\x01\r\n\r\n", 400),
])
def test_hostile_headers(server, head, status):
    with server.connect() as s:
        s.sendall(REQUEST + head)
        got, headers, reply = read_reply(s)
        assert (got, headers["connection"]) == (status, "close")
        assert "error" in json.loads(reply)
    assert server.get("/v2/health/live")[0] == 200


def test_no_http_at_all(server):
    for junk in (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"GET /\r\n\r\n", b"\r\n" * 1000 + b"x\r\n\r\n"):
        with server.connect() as s:
            s.sendall(junk)
            s.shutdown(socket.SHUT_WR)
            s.settimeout(5)
            while s.recv(65536):  # an answer or none, then the end
                pass
    assert server.get("/v2/health/live")[0] == 200


def test_body_limit_in_chunks(start, server):
    s = start(server.folder, "--max-body", "1")
    chunk = b"%x\r\n%s\r\n" % (65536, b" " * 65536)
    assert raw(s, REQUEST + b"Transfer-Encoding: chunked\r\n\r\n" + chunk * 17)[0] == 413
    assert raw(s, REQUEST + b"Content-Length: 1048577\r\n\r\n")[0] == 413


def test_slow_and_idle_clients_are_closed(start, server):
    s = start(server.folder, "--read-timeout", "1", "--idle-timeout", "2", "--max-connections", "8")
    with s.connect() as slow, s.connect() as stuck, s.connect() as idle:
        slow.sendall(b"GET /v2 HT")
        stuck.sendall(REQUEST + b"Content-Length: 10\r\n\r\nabc")
        begin = time.monotonic()
        assert read_reply(slow)[0] == 408 and read_reply(stuck)[0] == 408
        assert time.monotonic() - begin < 5
        assert idle.recv(1) == b""
    s.wait(lambda: s.get("/v2/health/live")[0] == 200, "connections were not given back")
    many = [s.connect() for _ in range(8)]
    with s.connect() as one_more:
        assert one_more.recv(1) == b""  # refused: closed at once
    for m in many:
        m.close()
    time.sleep(0.1)
    assert s.get("/v2/health/live")[0] == 200


def test_clients_that_hang_up(server):
    for _ in range(50):
        with server.connect() as s:
            s.sendall(REQUEST + b"Content-Length: 100\r\n\r\n{")
    for _ in range(50):
        with server.connect() as s:
            text = body().encode()
            s.sendall(REQUEST + b"Content-Length: %d\r\n\r\n" % len(text) + text)
            s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")  # reset instead of an orderly end
    assert server.get("/v2/health/live")[0] == 200


def slow_request(n=1):
    x = client.InferInput("x", [n, 1024], "FP32")
    x.set_data_from_numpy(np.ones([n, 1024], np.float32))
    return [x]


def test_sigterm_answers_what_was_accepted(start, tmp_path):
    write_slow(tmp_path / "slow/1/model.onnx")
    s = start(tmp_path)
    idle = s.connect()
    idle.sendall(b"GET /v2/health/live HTTP/1.1\r\nHost: x\r\n\r\n")
    read_reply(idle)
    answers, refused, errors = [], [], []
    accepted = threading.Barrier(9)

    def work():
        # Raw sockets: the request is in the server's hands before the signal comes.
        text = json.dumps({"inputs": [{"name": "x", "shape": [32, 1024], "datatype": "FP32", "parameters": {"binary_data_size": 131072}}]}).encode()
        with s.connect() as sock:
            sock.sendall(b"POST /v2/models/slow/infer HTTP/1.1\r\nHost: x\r\nInference-Header-Content-Length: %d\r\nContent-Length: %d\r\n\r\n" % (len(text), len(text) + 131072)
                         + text + bytes(131072))
            accepted.wait()
            try:
                (answers if read_reply(sock)[0] == 200 else refused).append(1)
            except OSError as e:
                errors.append(e)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for t in threads:
        t.start()
    accepted.wait()
    time.sleep(0.05)
    begin = time.monotonic()
    assert s.stop(signal.SIGTERM) == 0, "".join(s.lines)
    for t in threads:
        t.join()
    assert errors == [] and len(answers) + len(refused) == 8 and len(answers) >= 1
    assert time.monotonic() - begin < 10
    assert idle.recv(1) == b""
    idle.close()


def test_an_idle_connection_does_not_hold_up_the_end(start, server):
    s = start(server.folder)
    with s.connect() as idle:
        idle.sendall(b"GET /v2 HTTP/1.1\r\nHost: x\r\n\r\n")
        read_reply(idle)
        begin = time.monotonic()
        assert s.stop() == 0 and time.monotonic() - begin < 2


def test_not_ready_comes_before_the_end(start, server):
    s = start(server.folder, "--drain-delay", "1")
    s.process.send_signal(signal.SIGTERM)
    time.sleep(0.2)
    assert s.get("/v2/health/ready")[0] == 503
    assert s.post("/v2/models/simple/infer", body())[0] == 200
    assert s.stop() == 0


def test_a_taken_port_is_an_error_with_a_remedy(server, start):
    import subprocess

    from conftest import CARNOT
    got = subprocess.run([CARNOT, "serve", server.folder, "--address", "127.0.0.1", "--http", str(server.ports["HTTP"]), "--grpc", "-1", "--metrics", "-1"],
                         capture_output=True, text=True, timeout=20)
    assert got.returncode == 1 and "choose other ports" in got.stderr
