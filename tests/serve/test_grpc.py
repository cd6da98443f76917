# SPDX-License-Identifier: Apache-2.0
"""gRPC: the published client, streams, health, reflection; and shared memory over both protocols."""
import asyncio
import queue

import grpc
import numpy as np
import pytest
import tritonclient.grpc as client
import tritonclient.grpc.aio as aio
import tritonclient.http as http_client
import tritonclient.utils.shared_memory as shm
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from tritonclient.grpc import service_pb2, service_pb2_grpc
from tritonclient.utils import InferenceServerException

from conftest import TYPES, make_repository, write_slow
from test_http import ONES


def simple_inputs(a, b, module=client):
    inputs = []
    for name, value in (("INPUT0", a), ("INPUT1", b)):
        inputs.append(module.InferInput(name, list(value.shape), "INT32"))
        inputs[-1].set_data_from_numpy(value)
    return inputs


@pytest.fixture(scope="module")
def rpc(server):
    with client.InferenceServerClient(server.grpc) as c:
        yield c


@pytest.fixture(scope="module")
def stub(server):
    with grpc.insecure_channel(server.grpc) as channel:
        yield service_pb2_grpc.GRPCInferenceServiceStub(channel)


def test_health_metadata_config_statistics(rpc):
    assert rpc.is_server_live() and rpc.is_server_ready() and rpc.is_model_ready("simple") and not rpc.is_model_ready("zz")
    assert rpc.get_server_metadata().name == "triton"
    meta = rpc.get_model_metadata("simple")
    assert list(meta.versions) == ["1"] and [(i.name, i.datatype, list(i.shape)) for i in meta.inputs] == [(n, "INT32", [-1, 16]) for n in ("INPUT0", "INPUT1")]
    config = rpc.get_model_config("simple").config
    assert config.max_batch_size == 8 and config.parameters["origin"].string_value == "test"
    rpc.infer("simple", simple_inputs(ONES, ONES))
    stats = rpc.get_inference_statistics("simple").model_stats[0]
    assert stats.inference_count > 0 and stats.inference_stats.success.count == stats.inference_stats.queue.count
    assert {m.name for m in rpc.get_model_repository_index().models} == {"simple", "types", "scale", "open"}
    assert rpc.get_log_settings().settings["log_info"].bool_param
    assert list(rpc.get_trace_settings().settings["trace_level"].value) == ["OFF"]


def test_infer(rpc):
    a, b = np.arange(32, dtype=np.int32).reshape(2, 16), np.full([2, 16], 7, np.int32)
    result = rpc.infer("simple", simple_inputs(a, b), outputs=[client.InferRequestedOutput("OUTPUT1")], request_id="seven")
    assert result.get_response().id == "seven" and result.as_numpy("OUTPUT0") is None
    np.testing.assert_array_equal(result.as_numpy("OUTPUT1"), a - b)
    outputs = [client.InferRequestedOutput("OUTPUT0", class_count=2)]
    assert rpc.infer("simple", simple_inputs(a, b), outputs=outputs).as_numpy("OUTPUT0").tolist()[0] == [b"22:15:label15", b"21:14:label14"]


def test_typed_contents(stub):
    """Each type in the field that the protocol has for it."""
    fields = {"BOOL": "bool", "INT8": "int", "INT16": "int", "INT32": "int", "INT64": "int64", "UINT8": "uint", "UINT16": "uint", "UINT32": "uint", "UINT64": "uint64",
              "FP32": "fp32", "FP64": "fp64"}
    request = service_pb2.ModelInferRequest(model_name="types")
    for name, _ in TYPES:
        tensor = request.inputs.add(name=f"i_{name}", datatype=name, shape=[1, 3])
        if name in fields:
            getattr(tensor.contents, fields[name] + "_contents").extend([1, 0, 1])
    with pytest.raises(grpc.RpcError) as error:
        stub.ModelInfer(request)
    assert "unable to find data for input tensor 'i_FP16'" in error.value.details()
    for tensor in request.inputs:
        if tensor.datatype == "FP16":
            tensor.contents.fp32_contents.extend([1, 0, 1])
    with pytest.raises(grpc.RpcError, match="raw_input_contents"):
        stub.ModelInfer(request)
    request = service_pb2.ModelInferRequest(model_name="scale")
    request.inputs.add(name="x", datatype="FP32", shape=[4]).contents.fp32_contents.extend([1, 2, 3, 4])
    assert np.frombuffer(stub.ModelInfer(request).raw_output_contents[0], np.float32).tolist() == [3, 6, 9, 12]


def test_every_type_raw(stub):
    request, expected = service_pb2.ModelInferRequest(model_name="types"), {}
    for name, _ in TYPES:
        dtype = np.dtype({"BOOL": "bool", "FP16": "float16", "FP32": "float32", "FP64": "float64"}.get(name, name.lower()))
        request.inputs.add(name=f"i_{name}", datatype=name, shape=[1, 3])
        request.raw_input_contents.append(np.array([1, 0, 1], dtype).tobytes())
        expected[f"o_{name}"] = request.raw_input_contents[-1]
    reply = stub.ModelInfer(request)
    assert {o.name: raw for o, raw in zip(reply.outputs, reply.raw_output_contents)} == expected


def good():
    request = service_pb2.ModelInferRequest(model_name="simple", id="q")
    for name in ("INPUT0", "INPUT1"):
        request.inputs.add(name=name, datatype="INT32", shape=[1, 16])
        request.raw_input_contents.append(bytes(64))
    return request


def change(**fields):
    request = good()
    for name, value in fields.items():
        setattr(request, name, value)
    return request


def edit(fn):
    request = good()
    fn(request)
    return request


MISTAKES = [
    (change(model_name="zz"), "NOT_FOUND", "Request for unknown model: 'zz' is not found"),
    (change(model_version="9"), "NOT_FOUND", "version 9 is not found"),
    (change(model_version="x"), "INVALID_ARGUMENT", "version should be an integral value > 0"),
    (edit(lambda r: r.raw_input_contents.pop()), "INVALID_ARGUMENT", "unable to find data for input tensor 'INPUT1'"),
    (edit(lambda r: r.raw_input_contents.append(b"")), "INVALID_ARGUMENT", "expected 2 raw_input_contents"),
    (edit(lambda r: r.inputs[0].contents.int_contents.append(1)), "INVALID_ARGUMENT", "contents field must not be specified when using raw_input_contents for 'INPUT0'"),
    (edit(lambda r: r.inputs[0].shape.append(2 ** 62)), "INVALID_ARGUMENT", "[request id: q] unexpected shape for input 'INPUT0' for model 'simple'. Expected [-1,16]"),
    (edit(lambda r: r.inputs[0].shape.append(-1)), "INVALID_ARGUMENT", "negative"),
    (edit(lambda r: r.raw_input_contents.__setitem__(0, b"abc")), "INVALID_ARGUMENT", "input byte size mismatch for input 'INPUT0' for model 'simple'. Expected 64, got 3"),
    (edit(lambda r: setattr(r.inputs[0], "datatype", "X")), "INVALID_ARGUMENT", "invalid datatype for input INPUT0"),
    (edit(lambda r: r.outputs.add(name="Q")), "INVALID_ARGUMENT", "unexpected inference output 'Q'"),
    (edit(lambda r: r.parameters["timeout"].CopyFrom(service_pb2.InferParameter(string_param="x"))), "INVALID_ARGUMENT", "'timeout'"),
    (edit(lambda r: r.inputs[0].parameters["shared_memory_region"].CopyFrom(service_pb2.InferParameter(string_param="x"))), "INVALID_ARGUMENT", "shared_memory_byte_size"),
]


@pytest.mark.parametrize("request_,code,text", MISTAKES, ids=range(len(MISTAKES)))
def test_mistakes(stub, request_, code, text):
    with pytest.raises(grpc.RpcError) as error:
        stub.ModelInfer(request_)
    assert error.value.code().name == code and text in error.value.details()


def test_stream(server):
    answers = queue.Queue()
    with client.InferenceServerClient(server.grpc) as c:
        c.start_stream(lambda result, error: answers.put((result, error)))
        for i in range(200):
            c.async_stream_infer("simple" if i % 10 else "zz", simple_inputs(ONES * i, ONES), request_id=str(i))
        got = [answers.get(timeout=20) for _ in range(200)]
        c.stop_stream()
    assert sum(error is not None for _, error in got) == 20
    values = {r.get_response().id: r.as_numpy("OUTPUT0")[0, 0] for r, e in got if e is None}
    assert values == {str(i): i + 1 for i in range(200) if i % 10}


def test_streams_that_break_off(server, stub):
    for _ in range(30):
        stream = stub.ModelStreamInfer(iter([good()] * 5))
        next(stream)
        stream.cancel()
    assert stub.ServerLive(service_pb2.ServerLiveRequest()).live


def test_async_and_aio(server, rpc):
    answers = queue.Queue()
    for i in range(50):
        rpc.async_infer("simple", simple_inputs(ONES * i, ONES), lambda result, error: answers.put(error or result.as_numpy("OUTPUT0")[0, 0]))
    assert sorted(answers.get(timeout=20) for _ in range(50)) == list(range(1, 51))

    async def run():
        async with aio.InferenceServerClient(server.grpc) as c:
            results = await asyncio.gather(*(c.infer("simple", simple_inputs(ONES * i, ONES, aio)) for i in range(20)))
            return [r.as_numpy("OUTPUT1")[0, 0] for r in results]

    assert asyncio.run(run()) == [i - 1 for i in range(20)]


def test_health_service_and_reflection(server):
    with grpc.insecure_channel(server.grpc) as channel:
        health = health_pb2_grpc.HealthStub(channel)
        assert health.Check(health_pb2.HealthCheckRequest()).status == health_pb2.HealthCheckResponse.SERVING
        watch = health.Watch(health_pb2.HealthCheckRequest(service="inference.GRPCInferenceService"))
        assert next(watch).status == health_pb2.HealthCheckResponse.SERVING
        watch.cancel()
        reflection = reflection_pb2_grpc.ServerReflectionStub(channel)
        reply = next(reflection.ServerReflectionInfo(iter([reflection_pb2.ServerReflectionRequest(list_services="")])))
        assert "inference.GRPCInferenceService" in {s.name for s in reply.list_services_response.service}


def test_the_protocol_is_the_published_one(server):
    """Every message and number of ours, as reflection gives them, against the client's."""
    from google.protobuf import descriptor_pb2
    from tritonclient.grpc import model_config_pb2

    def shape(message, path=""):
        for field in message.field:
            yield (path + message.name, field.name, field.number, field.type, field.label)
        for nested in message.nested_type:
            yield from shape(nested, path + message.name + ".")

    with grpc.insecure_channel(server.grpc) as channel:
        ask = lambda **what: next(reflection_pb2_grpc.ServerReflectionStub(channel).ServerReflectionInfo(iter([reflection_pb2.ServerReflectionRequest(**what)])))
        files = [descriptor_pb2.FileDescriptorProto.FromString(data)
                 for symbol in ("inference.GRPCInferenceService", "inference.ModelConfig") for data in ask(file_containing_symbol=symbol).file_descriptor_response.file_descriptor_proto]
    ours, theirs = set(), set()
    for file in files:
        ours |= {f for m in file.message_type for f in shape(m)} | {(m.name, m.input_type, m.output_type, m.client_streaming, m.server_streaming) for s in file.service for m in s.method}
    for module in (service_pb2, model_config_pb2):
        file = descriptor_pb2.FileDescriptorProto()
        module.DESCRIPTOR.CopyToProto(file)
        theirs |= {f for m in file.message_type for f in shape(m)} | {(m.name, m.input_type, m.output_type, m.client_streaming, m.server_streaming) for s in file.service for m in s.method}
    assert len(ours) > 200 and ours == theirs


def test_load_and_unload(server, rpc):
    rpc.unload_model("open")
    with pytest.raises(InferenceServerException, match="no available versions"):
        rpc.get_model_config("open")
    rpc.load_model("open")
    assert rpc.is_model_ready("open")
    with pytest.raises(InferenceServerException, match="failed to load 'zz'"):
        rpc.load_model("zz")


def test_sigterm_answers_calls_that_run(start, tmp_path):
    write_slow(tmp_path / "slow/1/model.onnx")
    s = start(tmp_path)
    answers = queue.Queue()
    with client.InferenceServerClient(s.grpc) as c:
        for _ in range(6):
            x = client.InferInput("x", [32, 1024], "FP32").set_data_from_numpy(np.ones([32, 1024], np.float32))
            c.async_infer("slow", [x], lambda result, error: answers.put(error))
        first = answers.get(timeout=20)
        assert s.stop() == 0, "".join(s.lines)
        rest = [answers.get(timeout=20) for _ in range(5)]
    assert first is None and all(e is None or e.status() in ("StatusCode.UNAVAILABLE", "StatusCode.CANCELLED") for e in rest)


@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_shared_memory(server, protocol):
    module = http_client if protocol == "http" else client
    address = server.http if protocol == "http" else server.grpc
    a, b = np.arange(16, dtype=np.int32)[None], np.full([1, 16], 5, np.int32)
    region = shm.create_shared_memory_region("in", f"/carnot_test_{protocol}", 192)
    try:
        shm.set_shared_memory_region(region, [a, b])
        with module.InferenceServerClient(address) as c:
            c.register_system_shared_memory("r", f"/carnot_test_{protocol}", 192)
            status = c.get_system_shared_memory_status()
            assert (status[0]["byte_size"] if protocol == "http" else status.regions["r"].byte_size) == 192
            inputs = [module.InferInput(n, [1, 16], "INT32") for n in ("INPUT0", "INPUT1")]
            inputs[0].set_shared_memory("r", 64)
            inputs[1].set_shared_memory("r", 64, offset=64)
            out = module.InferRequestedOutput("OUTPUT0")
            out.set_shared_memory("r", 64, offset=128)
            result = c.infer("simple", inputs, outputs=[out, module.InferRequestedOutput("OUTPUT1")])
            np.testing.assert_array_equal(shm.get_contents_as_numpy(region, np.int32, [1, 16], offset=128), a + b)
            np.testing.assert_array_equal(result.as_numpy("OUTPUT1"), a - b)
            for size, offset, text in ((64, 129, "Invalid offset"), (64, 2 ** 62, "Invalid offset"), (8, 64, "byte size mismatch")):
                inputs[0].set_shared_memory("r", size, offset=offset)
                with pytest.raises(InferenceServerException, match=text):
                    c.infer("simple", inputs)
            with pytest.raises(InferenceServerException, match="already in manager"):
                c.register_system_shared_memory("r", f"/carnot_test_{protocol}", 192)
            with pytest.raises(InferenceServerException, match="Unable to open shared memory region"):
                c.register_system_shared_memory("none", "/carnot_no_such_key", 192)
            with pytest.raises(InferenceServerException, match="ends before"):
                c.register_system_shared_memory("long", f"/carnot_test_{protocol}", 1 << 30)
            c.unregister_system_shared_memory("r")
            c.unregister_system_shared_memory("never")
            inputs[0].set_shared_memory("r", 64)
            with pytest.raises(InferenceServerException, match="Unable to find shared memory region: 'r'"):
                c.infer("simple", inputs)
    finally:
        shm.destroy_shared_memory_region(region)


def test_shared_memory_is_off_unless_asked_for(start, tmp_path):
    make_repository(tmp_path)
    s = start(tmp_path)
    with client.InferenceServerClient(s.grpc) as c:
        with pytest.raises(InferenceServerException, match="--allow-client-shm"):
            c.register_system_shared_memory("r", "/x", 64)
    assert s.post("/v2/systemsharedmemory/region/r/register", '{"key":"/x","byte_size":64}')[0] == 403
