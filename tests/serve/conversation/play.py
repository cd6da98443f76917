# SPDX-License-Identifier: Apache-2.0
"""Plays the conversation to a server and gives its answers as JSON values that two servers can be compared by."""
import base64
import gzip
import json
import queue
import socket
import zlib

import grpc
from google.protobuf import json_format
from tritonclient.grpc import service_pb2, service_pb2_grpc

HEADERS = ("content-type", "inference-header-content-length", "content-encoding")


def read_answer(sock, method):
    data = b""
    while b"\r\n\r\n" not in data:
        part = sock.recv(65536)
        if not part:
            return None
        data += part
    head, data = data.split(b"\r\n\r\n", 1)
    status, *lines = head.decode().split("\r\n")
    headers = {k.lower(): v.strip() for k, v in (line.split(":", 1) for line in lines)}
    length = 0 if method == "HEAD" else int(headers.get("content-length", 0))
    while len(data) < length:
        part = sock.recv(65536)
        if not part:
            return None
        data += part
    return int(status.split()[1]), headers, data[:length]


def volatile(value, key=""):
    """Durations and times, which no two servers share, by their kind; everything else as it is."""
    if isinstance(value, dict):
        return {k: volatile(v, k) for k, v in value.items()}
    if isinstance(value, list):
        return [volatile(v, key) for v in value]
    return "time" if key in ("ns", "last_inference") else value


def http_step(server, method, path, headers, body):
    with socket.create_connection(("127.0.0.1", server.ports["HTTP"]), timeout=20) as sock:
        lines = [f"{method} {path} HTTP/1.1", "Host: x", f"Content-Length: {len(body)}", *(f"{k}: {v}" for k, v in headers.items())]
        sock.sendall("\r\n".join(lines).encode() + b"\r\n\r\n" + body)
        answer = read_answer(sock, method)
    if answer is None:
        return {"closed": True}
    status, headers, body = answer
    out = {"status": status, **{k: headers[k] for k in HEADERS if k in headers}}
    body = {"gzip": gzip.decompress, "deflate": zlib.decompress}.get(headers.get("content-encoding"), bytes)(body)
    length = headers.get("inference-header-content-length")
    text, tail = (body[:int(length)], body[int(length):]) if length else (body, b"")
    if tail:
        out["binary"] = base64.b64encode(tail).decode()
    if text:
        try:
            out["json"] = volatile(json.loads(text))
        except ValueError:
            out["text"] = text.decode(errors="replace")
    return out


def message_of(method, request):
    name = "ModelInferRequest" if method in ("ModelInfer", "ModelStreamInfer") else f"{method}Request"
    message = getattr(service_pb2, name)()
    raw = request.get("raw_input_contents", [])
    json_format.ParseDict({k: v for k, v in request.items() if k != "raw_input_contents"}, message)
    if raw:
        message.raw_input_contents.extend(raw)
    return message


def as_value(message):
    return volatile(json_format.MessageToDict(message, preserving_proto_field_name=True))


def failure(error):
    return {"status": error.code().name, "error": error.details()}


def play(server, steps):
    """[answer] in the order of the steps."""
    answers = []
    with grpc.insecure_channel(server.grpc) as channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        for step in steps:
            if "http" in step:
                answers.append(http_step(server, *step["http"]))
            elif "rpc" in step:
                method, request = step["rpc"]
                try:
                    answers.append({"status": "OK", "message": as_value(getattr(stub, method)(message_of(method, request), timeout=20))})
                except grpc.RpcError as error:
                    answers.append(failure(error))
            else:
                answer = {"status": "OK", "messages": []}
                requests = queue.Queue()
                try:
                    stream = stub.ModelStreamInfer(iter(requests.get, None), timeout=20)
                    # Each request waits for the answer to the one before: no server promises an order.
                    for request in step["stream"]:
                        requests.put(message_of("ModelStreamInfer", request))
                        answer["messages"].append(as_value(next(stream)))
                    requests.put(None)
                    answer["messages"] += [as_value(m) for m in stream]
                except grpc.RpcError as error:
                    requests.put(None)
                    answer.update(failure(error))
                answers.append(answer)
    return answers
