# SPDX-License-Identifier: Apache-2.0
"""Trace context, spans for a collector, and the lines of the log."""
import http.server
import json
import re
import socket
import threading
import time

import grpc
import numpy as np
import pytest
import tritonclient.grpc
import tritonclient.http
from tritonclient.grpc import service_pb2 as pb
from tritonclient.grpc import service_pb2_grpc
from tritonclient.utils import InferenceServerException

from conftest import write_scale, write_simple
from test_http import body

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
SAMPLED, UNSAMPLED = f"00-{TRACE}-{PARENT}-01", f"00-{TRACE}-{PARENT}-00"
INFER = "/v2/models/simple/infer"


class Collector:
    """Takes spans as an OpenTelemetry collector does."""

    def __init__(self):
        self.spans, self.paths, self.types = [], set(), set()
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                data = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                outer.paths.add(self.path)
                outer.types.add(self.headers["Content-Type"])
                for resource in data["resourceSpans"]:
                    assert {"key": "service.name", "value": {"stringValue": "carnot"}} in resource["resource"]["attributes"]
                    for scope in resource["scopeSpans"]:
                        outer.spans += scope["spans"]
                self.send_response(200)
                self.send_header("Content-Length", "2")
                self.end_headers()
                self.wfile.write(b"{}")

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def of(self, trace):
        return [s for s in self.spans if s["traceId"] == trace]

    def wait(self, condition):
        end = time.monotonic() + 15
        while not condition():
            assert time.monotonic() < end, self.spans
            time.sleep(0.05)


@pytest.fixture
def collector():
    c = Collector()
    yield c
    c.server.shutdown()


@pytest.fixture(scope="module")
def repository(tmp_path_factory):
    folder = tmp_path_factory.mktemp("repository")
    write_simple(folder / "simple/1/model.onnx")
    write_scale(folder / "scale/1/model.onnx", 2.0)
    return folder


def attributes(span):
    return {a["key"]: next(iter(a["value"].values())) for a in span["attributes"]}


def new_trace(i):
    return f"{i:032x}"


def test_the_context_comes_back(server):
    status, headers, _ = server.post(INFER, body(), {"traceparent": SAMPLED, "tracestate": "a=b"})
    assert status == 200 and re.fullmatch(f"00-{TRACE}-[0-9a-f]{{16}}-01", headers["traceparent"]) and PARENT not in headers["traceparent"]
    assert server.post(INFER, body(), {"traceparent": UNSAMPLED})[1]["traceparent"].endswith("-00")
    # Refusals, too.
    status, headers, _ = server.post(INFER, "{", {"traceparent": SAMPLED})
    assert status == 400 and TRACE in headers["traceparent"]
    assert TRACE in server.post("/v2/models/none/infer", body(), {"traceparent": SAMPLED})[1]["traceparent"]
    assert "traceparent" not in server.post(INFER, body())[1]


@pytest.mark.parametrize("malformed", [
    "", "00", SAMPLED[:-1], SAMPLED + "-00", SAMPLED.upper(), "ff" + SAMPLED[2:], f"00-{'0' * 32}-{PARENT}-01", f"00-{TRACE}-{'0' * 16}-01",
    SAMPLED.replace("-", "_"), "0g" + SAMPLED[2:], "x" * 5000])
def test_a_malformed_context_is_ignored(server, malformed):
    status, headers, _ = server.post(INFER, body(), {"traceparent": malformed})
    assert status == 200 and "traceparent" not in headers


def test_a_context_of_a_later_version(server):
    assert TRACE in server.post(INFER, body(), {"traceparent": "01" + SAMPLED[2:] + "-more"})[1]["traceparent"]


def test_the_context_over_grpc(server):
    with grpc.insecure_channel(server.grpc) as channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        call = stub.ModelInfer.with_call
        request = pb.ModelInferRequest(model_name="simple", raw_input_contents=[bytes(64)] * 2,
                                       inputs=[pb.ModelInferRequest.InferInputTensor(name=n, datatype="INT32", shape=[1, 16]) for n in ("INPUT0", "INPUT1")])
        _, info = call(request, metadata=[("traceparent", SAMPLED)], timeout=10)
        assert TRACE in dict(info.initial_metadata())["traceparent"]
        _, info = call(request, timeout=10)
        assert "traceparent" not in dict(info.initial_metadata())


def test_spans_reach_the_collector(repository, start, collector):
    s = start(repository, "--otlp-endpoint", collector.url, "--trace-rate", "1000000", "--log-verbose", "2")
    s.post(INFER, body(), headers={})  # the first without a context is one in a million
    for i, flags in ((1, "01"), (2, "00")):
        s.post(INFER, body(id=f"r{i}"), {"traceparent": f"00-{new_trace(i)}-{PARENT}-{flags}", "tracestate": "vendor=1"})
    s.post(INFER, "{", {"traceparent": f"00-{new_trace(3)}-{PARENT}-01"})
    with grpc.insecure_channel(s.grpc) as channel:
        request = pb.ModelInferRequest(model_name="simple", id="g4", raw_input_contents=[bytes(64)] * 2,
                                       inputs=[pb.ModelInferRequest.InferInputTensor(name=n, datatype="INT32", shape=[1, 16]) for n in ("INPUT0", "INPUT1")])
        service_pb2_grpc.GRPCInferenceServiceStub(channel).ModelInfer(request, metadata=[("traceparent", f"00-{new_trace(4)}-{PARENT}-01")], timeout=10)
    collector.wait(lambda: len(collector.spans) >= 5 + 5 + 1 + 5)
    assert collector.paths == {"/v1/traces"} and collector.types == {"application/json"}
    assert collector.of(new_trace(2)) == []
    spans = {span["name"]: span for span in collector.of(new_trace(1))}
    assert set(spans) == {"infer", "queue", "compute_input", "compute", "compute_output"}
    root = spans["infer"]
    assert root["parentSpanId"] == PARENT and root["kind"] == 2 and root["traceState"] == "vendor=1" and root["status"] == {}
    assert attributes(root) == {"model.name": "simple", "model.version": "1", "request.id": "r1", "request.batch": "1", "rpc.system": "http"}
    times = [int(spans[name][key]) for name in ("queue", "compute_input", "compute", "compute_output") for key in ("startTimeUnixNano", "endTimeUnixNano")]
    assert times == sorted(times) and int(root["startTimeUnixNano"]) <= times[0] and times[-1] <= int(root["endTimeUnixNano"])
    assert abs(times[0] / 1e9 - time.time()) < 60
    for name, span in spans.items():
        assert re.fullmatch("[0-9a-f]{16}", span["spanId"]) and (name == "infer" or span["parentSpanId"] == root["spanId"])
    failed = collector.of(new_trace(3))
    assert len(failed) == 1 and failed[0]["status"]["code"] == 2 and "JSON" in failed[0]["status"]["message"]
    assert attributes(collector.of(new_trace(4))[0])["rpc.system"] == "grpc"
    # The log names the same span.
    s.wait(lambda: any("request_id=r1" in line and f"span_id={root['spanId']}" in line for line in s.lines), "no such line")
    s.wait(lambda: b'carnot_trace_spans_total{state="exported"} 16' in s.get("/metrics")[2], "the spans are not counted")


def test_trace_settings_decide(repository, start, collector):
    s = start(repository, "--otlp-endpoint", collector.url)
    client = tritonclient.http.InferenceServerClient(s.http)
    rpc = tritonclient.grpc.InferenceServerClient(s.grpc)
    assert client.get_trace_settings() == {"trace_level": ["TIMESTAMPS"], "trace_rate": "1000", "trace_count": "-1", "log_frequency": "0",
                                           "trace_file": "", "trace_mode": "opentelemetry"}
    client.update_trace_settings(settings={"trace_rate": "2", "trace_count": "3"})
    assert rpc.get_trace_settings(as_json=True)["settings"]["trace_rate"]["value"] == ["2"]
    for _ in range(20):
        s.post(INFER, body())
    assert client.get_trace_settings()["trace_count"] == "0"
    s.post(INFER, body(), {"traceparent": f"00-{new_trace(7)}-{PARENT}-01"})
    collector.wait(lambda: len(collector.of(new_trace(7))) == 5)
    assert len({span["traceId"] for span in collector.spans}) == 4
    # A model of its own mind, and back.
    rpc.update_trace_settings(model_name="scale", settings={"trace_level": ["OFF"]})
    assert client.get_trace_settings("scale")["trace_level"] == ["OFF"] and client.get_trace_settings("simple")["trace_level"] == ["TIMESTAMPS"]
    scale = json.dumps({"inputs": [{"name": "x", "shape": [4], "datatype": "FP32", "data": [1, 2, 3, 4]}]})
    assert s.post("/v2/models/scale/infer", scale, {"traceparent": f"00-{new_trace(8)}-{PARENT}-01"})[1]["traceparent"].startswith(f"00-{new_trace(8)}")
    client.update_trace_settings(model_name="scale", settings={"trace_level": None})
    s.post("/v2/models/scale/infer", scale, {"traceparent": f"00-{new_trace(9)}-{PARENT}-01"})
    collector.wait(lambda: len(collector.of(new_trace(9))) == 5)
    assert collector.of(new_trace(8)) == []
    for settings, says in (({"trace_level": ["SOME"]}, "unknown trace level"), ({"trace_level": ["TENSORS"]}, "use TIMESTAMPS"), ({"trace_rate": "0"}, "1 at least"),
                           ({"trace_count": "x"}, "whole number"), ({"trace_file": "/etc/passwd"}, "can not be updated"), ({"trace_mode": "triton"}, "can not be updated"),
                           ({"log_frequency": "3"}, "files"), ({"other": "1"}, "unknown trace setting")):
        with pytest.raises(InferenceServerException, match=says):
            client.update_trace_settings(settings=settings)
        with pytest.raises(InferenceServerException, match=says):
            rpc.update_trace_settings(settings=settings)
    with pytest.raises(InferenceServerException, match="unknown model"):
        rpc.get_trace_settings(model_name="none")
    rpc.close()
    client.close()


def test_a_collector_that_is_away_holds_nobody_up(repository, start):
    # One that refuses, and one that takes connections and never answers.
    with socket.create_server(("127.0.0.1", 0)) as silent:
        for port in (1, silent.getsockname()[1]):
            s = start(repository, "--otlp-endpoint", f"http://127.0.0.1:{port}", "--trace-rate", "1")
            begin = time.monotonic()
            with s.connect() as sock:
                for _ in range(4000):
                    assert s.request("POST", INFER, body(), sock=sock)[0] == 200
            took = time.monotonic() - begin
            if port == 1:
                s.wait(lambda: any("traces: the collector" in line for line in s.lines), "nothing was logged")
                assert sum("traces: the collector" in line for line in s.lines) == 1
            dropped = re.search(rb'spans_total{state="dropped"} (\d+)', s.get("/metrics")[2])
            assert int(dropped[1]) > 0
            begin = time.monotonic()
            assert s.stop() == 0 and time.monotonic() - begin < 3
            assert took < 20


@pytest.mark.parametrize("address", ["collector:4318", "https://collector", "http://", "http://host:port", "http://a b"])
def test_addresses_that_are_none(repository, address):
    import subprocess

    from conftest import CARNOT
    got = subprocess.run([CARNOT, "serve", repository, "--otlp-endpoint", address], capture_output=True, text=True, timeout=20)
    assert got.returncode == 1 and "http://HOST" in got.stderr


def test_log_lines(repository, start):
    s = start(repository, "--log-verbose", "2", "--log-json")
    s.post(INFER, body(id='a "b"\nc'), {"traceparent": SAMPLED})
    s.post(INFER, body(id="wrong").replace("INT32", "FP32"))
    with grpc.insecure_channel(s.grpc) as channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        assert list(stub.ModelStreamInfer(iter([pb.ModelInferRequest(model_name="none", id="stream")])))[0].error_message
    lines = lambda: {e["request_id"]: e for e in map(json.loads, list(s.lines)) if "request_id" in e}
    s.wait(lambda: len(lines()) == 3, "lines are missing")
    good, bad, stream = lines()['a "b"\nc'], lines()["wrong"], lines()["stream"]
    assert (good["level"], good["message"], good["model"], good["version"], good["protocol"], good["status"], good["batch"], good["trace_id"]) == (
        "verbose", "infer", "simple", 1, "http", "ok", 1, TRACE)
    assert 0 <= good["queue_us"] <= good["total_us"] and 0 <= good["compute_us"] <= good["total_us"]
    assert bad["status"] == "invalid" and "FP32" in bad["error"] and "batch" not in bad
    assert stream["status"] == "not found" and stream["protocol"] == "grpc-stream"
    text = start(repository, "--log-verbose", "2")
    text.post(INFER, body(id='a "b"\nc'))
    text.post(INFER, body(id="plain"))
    text.post("/v2/models/n%AE%C3%A9/infer", body(id="bytes"))
    text.wait(lambda: sum(" infer " in line for line in text.lines) == 3, "lines are missing")
    first, second, third = (line for line in text.lines if " infer " in line)
    assert "model=n?\u00e9 " in third, "what is no UTF-8 does not get into the log"
    assert r'request_id="a \"b\"\nc"' in first and "request_id=plain model=simple version=1 protocol=http status=ok batch=1 queue_us=" in second
    quiet = start(repository)
    quiet.post(INFER, body(id="quiet"))
    assert not any("quiet" in line for line in quiet.lines)
