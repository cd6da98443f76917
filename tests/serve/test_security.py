# SPDX-License-Identifier: Apache-2.0
"""TLS, client certificates and bearer tokens, over HTTP and gRPC."""
import json
import os
import socket
import ssl
import subprocess
import time

import grpc
import numpy as np
import pytest
import tritonclient.grpc as triton_grpc
import tritonclient.http as triton_http
from tritonclient.grpc import service_pb2 as pb
from tritonclient.grpc import service_pb2_grpc

from conftest import CARNOT, Server, read_reply, write_simple
from test_http import body


def openssl(*arguments, **more):
    subprocess.run(["openssl", *arguments], check=True, capture_output=True, **more)


class Authority:
    """Signs certificates; all its files are in `folder`."""

    def __init__(self, folder, name):
        folder.mkdir(exist_ok=True)
        self.folder, self.key, self.cert = folder, folder / f"{name}.key", folder / f"{name}.pem"
        openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj", f"/CN={name}",
                "-addext", "basicConstraints=critical,CA:TRUE", "-keyout", self.key, "-out", self.cert)

    def sign(self, name):
        """(certificate, key) for `name` at this machine."""
        key, request, cert, extra = (self.folder / f"{name}.{end}" for end in ("key", "csr", "pem", "ext"))
        extra.write_text("subjectAltName=DNS:localhost,IP:127.0.0.1\n")
        openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj", f"/CN={name}", "-keyout", key, "-out", request)
        openssl("x509", "-req", "-in", request, "-CA", self.cert, "-CAkey", self.key, "-CAcreateserial", "-days", "2", "-extfile", extra, "-out", cert)
        return cert, key


@pytest.fixture(scope="module")
def ours(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("ours"), "ours")


@pytest.fixture(scope="module")
def strangers(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("strangers"), "strangers")


@pytest.fixture(scope="module")
def repository(tmp_path_factory):
    folder = tmp_path_factory.mktemp("repository")
    write_simple(folder / "simple/1/model.onnx")
    return folder


def client_context(authority, pair=None):
    context = ssl.create_default_context(cafile=authority.cert)
    if pair:
        context.load_cert_chain(*pair)
    return context


def https(server, context, method="GET", path="/v2/health/ready", data=b""):
    with context.wrap_socket(socket.create_connection(("127.0.0.1", server.ports["HTTP"]), timeout=20), server_hostname="localhost") as s:
        return server.request(method, path, data, sock=s)


def channel(server, authority, pair=None):
    read = lambda path: open(path, "rb").read()
    return grpc.secure_channel(f"localhost:{server.ports['gRPC']}", grpc.ssl_channel_credentials(
        read(authority.cert), *((read(pair[1]), read(pair[0])) if pair else (None, None))))


def grpc_ready(server, authority, pair=None):
    with channel(server, authority, pair) as c:
        return service_pb2_grpc.GRPCInferenceServiceStub(c).ServerReady(pb.ServerReadyRequest(), timeout=10).ready


def wait_ready(server, get):
    server.wait(lambda: get()[0] == 200, "the server never became ready")


@pytest.fixture(scope="module")
def tls(repository, cache, ours):
    cert, key = ours.sign("server")
    s = Server(repository, "--tls-cert", cert, "--tls-key", key, cache=cache, ready=False)
    wait_ready(s, lambda: https(s, client_context(ours)))
    yield s
    assert s.stop() == 0, "".join(s.lines)


def test_requests_over_tls(tls, ours, strangers):
    status, _, reply = https(tls, client_context(ours), "POST", "/v2/models/simple/infer", body())
    assert status == 200 and json.loads(reply)["model_name"] == "simple"
    assert grpc_ready(tls, ours)
    # The certificate is the one that was asked for: a client that trusts others refuses it.
    with pytest.raises(ssl.SSLCertVerificationError):
        https(tls, client_context(strangers))
    with pytest.raises(grpc.RpcError) as e:
        grpc_ready(tls, strangers)
    assert e.value.code() == grpc.StatusCode.UNAVAILABLE


def test_the_triton_clients_over_tls(tls, ours):
    x = np.arange(16, dtype=np.int32).reshape(1, 16)

    def ask(module, client):
        inputs = [module.InferInput(name, [1, 16], "INT32") for name in ("INPUT0", "INPUT1")]
        for i in inputs:
            i.set_data_from_numpy(x)
        np.testing.assert_array_equal(client.infer("simple", inputs).as_numpy("OUTPUT0"), x + x)
        client.close()

    import gevent.ssl
    ask(triton_http, triton_http.InferenceServerClient(f"localhost:{tls.ports['HTTP']}", ssl=True, ssl_options={"ca_certs": str(ours.cert)},
                                                       ssl_context_factory=gevent.ssl.create_default_context))
    ask(triton_grpc, triton_grpc.InferenceServerClient(f"localhost:{tls.ports['gRPC']}", ssl=True, root_certificates=str(ours.cert)))


def test_large_bodies_and_kept_connections(tls, ours):
    context = client_context(ours)
    n = 50000
    x = np.arange(n * 16, dtype=np.int32)
    head = json.dumps({"inputs": [{"name": name, "shape": [n, 16], "datatype": "INT32", "parameters": {"binary_data_size": x.nbytes}} for name in ("INPUT0", "INPUT1")],
                       "outputs": [{"name": "OUTPUT0", "parameters": {"binary_data": True}}]}).encode()
    with context.wrap_socket(tls.connect(), server_hostname="localhost") as s:
        assert s.version() in ("TLSv1.2", "TLSv1.3")
        for _ in range(3):
            # Too many items for this model: refused after all of it has come, and the connection goes on.
            status, _, reply = tls.request("POST", "/v2/models/simple/infer", head + x.tobytes() * 2, {"Inference-Header-Content-Length": len(head)}, sock=s)
            assert status == 400 and b"batch-size" in reply
            assert tls.request("POST", "/v2/models/simple/infer", body(), sock=s)[0] == 200
    with context.wrap_socket(tls.connect(), server_hostname="localhost") as s:
        # A refusal before the body has come still arrives whole, then the end of the stream.
        s.sendall(b"POST /v2 HTTP/1.1\r\nHost: x\r\nContent-Length: 999999999999\r\n\r\n" + bytes(100000))
        assert read_reply(s)[0] == 413 and s.recv(1) == b""


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion")
def test_old_protocols_and_plain_text_are_refused(tls, ours):
    with tls.connect() as s:
        s.sendall(b"GET /v2 HTTP/1.1\r\nHost: x\r\n\r\n")
        status, _, reply = read_reply(s)
        assert status == 400 and b"https" in reply
    old = client_context(ours)
    old.minimum_version, old.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
    old.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.raises((ssl.SSLError, ConnectionError)):
        https(tls, old)
    for junk in (b"\x16", b"\x16\x03\x01\xff\xff" + bytes(100), b"\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00"):
        with tls.connect() as s:
            s.sendall(junk)
            s.shutdown(socket.SHUT_WR)
            while s.recv(65536):
                pass
    assert https(tls, client_context(ours))[0] == 200


def test_http2_offers_are_answered_with_http1(tls, ours):
    context = client_context(ours)
    context.set_alpn_protocols(["h2", "http/1.1"])
    with context.wrap_socket(tls.connect(), server_hostname="localhost") as s:
        assert s.selected_alpn_protocol() == "http/1.1"


def test_a_client_that_stops_in_the_handshake_is_closed(repository, start, ours):
    cert, key = ours.sign("slow")
    s = start(repository, "--tls-cert", cert, "--tls-key", key, "--read-timeout", "1", ready=False)
    with s.connect() as silent, s.connect() as half:
        half.sendall(b"\x16\x03\x01")
        begin = time.monotonic()
        assert silent.recv(1) == b"" and half.recv(1) == b"" and time.monotonic() - begin < 5


def test_mutual_tls(repository, start, ours, strangers):
    cert, key = ours.sign("server")
    s = start(repository, "--tls-cert", cert, "--tls-key", key, "--tls-client-ca", ours.cert, ready=False)
    friend, stranger = ours.sign("friend"), strangers.sign("stranger")
    wait_ready(s, lambda: https(s, client_context(ours, friend)))
    assert https(s, client_context(ours, friend), "POST", "/v2/models/simple/infer", body())[0] == 200
    assert grpc_ready(s, ours, friend)
    for pair in (None, stranger):
        with pytest.raises((ssl.SSLError, ConnectionError)):
            https(s, client_context(ours, pair))
        with pytest.raises(grpc.RpcError) as e:
            grpc_ready(s, ours, pair)
        assert e.value.code() == grpc.StatusCode.UNAVAILABLE
    # Probes cannot show certificates: they have the metrics port.
    assert probe(s, "/v2/health/ready")[0] == 200 and probe(s, "/metrics")[0] == 200


def probe(server, path, method="GET", data=b"", headers=()):
    with socket.create_connection(("127.0.0.1", server.ports["metrics"]), timeout=20) as s:
        return server.request(method, path, data, headers, sock=s)


def test_renewed_certificates_are_taken_up(repository, start, tmp_path, ours, strangers):
    first, second = ours.sign("first"), strangers.sign("second")
    cert, key = tmp_path / "tls.crt", tmp_path / "tls.key"

    def put(pair):
        for source, target in zip(pair, (cert, key)):
            new = tmp_path / "new"
            new.write_bytes(open(source, "rb").read())
            os.replace(new, target)

    put(first)
    s = start(repository, "--tls-cert", cert, "--tls-key", key, ready=False)
    wait_ready(s, lambda: https(s, client_context(ours)))
    assert grpc_ready(s, ours)
    put(second)

    def renewed():
        try:
            return https(s, client_context(strangers))[0] == 200 and grpc_ready(s, strangers)
        except (ssl.SSLError, grpc.RpcError):
            return False

    s.wait(renewed, "the new certificate was not taken up")
    # Files that are written in place are empty or cut off for a moment.
    whole = cert.read_bytes()
    for part in (b"", whole[:len(whole) // 2], b"no certificate"):
        cert.write_bytes(part)
        time.sleep(2.2)
        assert https(s, client_context(strangers))[0] == 200 and grpc_ready(s, strangers)
    s.wait(lambda: any("stay in use" in line for line in s.lines), "nothing was logged")


@pytest.mark.parametrize("options,says", [
    (["--tls-cert", "{cert}"], "--tls-key"),
    (["--tls-cert", "{missing}", "--tls-key", "{key}"], "missing.pem"),
    (["--tls-cert", "{cert}", "--tls-key", "{other}"], "must be the key of"),
    (["--tls-cert", "{cert}", "--tls-key", "{key}", "--tls-client-ca", "{key}"], "server.key"),
    (["--token-file", "{missing}"], "missing.pem"),
    (["--token-file", "{short}"], "line 2"),
    (["--admin-token-file", "{empty}"], "holds no token"),
])
def test_files_that_cannot_be_used_stop_the_start(repository, tmp_path, ours, options, says):
    cert, key = ours.sign("server")
    (tmp_path / "short").write_text("# tokens\nsecret\n")
    (tmp_path / "empty").write_text("# none yet\n\n")
    names = dict(cert=cert, key=key, other=ours.sign("other")[1], missing=tmp_path / "missing.pem", short=tmp_path / "short", empty=tmp_path / "empty")
    got = subprocess.run([CARNOT, "serve", repository, "--http", "0", "--grpc", "0", "--metrics", "0", *(o.format(**names) for o in options)],
                         capture_output=True, text=True, timeout=20)
    assert got.returncode == 1 and says in got.stderr, got.stderr


USER, ADMIN = "user-token-0123456789", "admin-token-0123456789"
BEARER = {None: {}, "user": {"Authorization": f"Bearer {USER}"}, "admin": {"authorization": f"bearer {ADMIN}"}, "wrong": {"Authorization": f"Bearer {USER}x"},
          "basic": {"Authorization": f"Basic {USER}"}, "empty": {"Authorization": "Bearer "}}


@pytest.fixture(scope="module")
def guarded(repository, cache, tmp_path_factory):
    folder = tmp_path_factory.mktemp("tokens")
    (folder / "users").write_text(f"# who may infer\nanother-token-0123456789\n  {USER}  \r\n")
    (folder / "admins").write_text(ADMIN)
    s = Server(repository, "--token-file", folder / "users", "--admin-token-file", folder / "admins", "--allow-client-shm", "true", "--model-control", "explicit", "--load-model", "*", cache=cache)
    s.tokens = folder
    yield s
    assert s.stop() == 0, "".join(s.lines)


USE = [("GET", "/v2"), ("GET", "/v2/models/simple"), ("POST", "/v2/models/simple/infer"), ("GET", "/v2/models/stats"), ("POST", "/v2/repository/index"),
       ("GET", "/v2/logging"), ("GET", "/v2/trace/setting"), ("GET", "/v2/systemsharedmemory/status"), ("GET", "/nothing"),
       ("POST", "/v2/models/simple/infer?ready"), ("GET", "/v2/models//ready/stats"), ("POST", "/v2/models/%73imple/infer")]
CONTROL = [("POST", "/v2/repository/models/simple/load"), ("POST", "/v2/repository/models/simple/unload"), ("POST", "/v2/logging"),
           ("POST", "/v2/trace/setting"), ("POST", "/v2/models/simple/trace/setting"), ("POST", "/v2/systemsharedmemory/region/a/register"),
           ("POST", "/v2/systemsharedmemory/unregister"), ("POST", "/v2/cudasharedmemory/region/a/register"), ("POST", "/v2/%72epository/models/simple/load"),
           ("POST", "/v2/repository/models/simple/load/")]
PROBES = [("GET", "/v2/health/live"), ("GET", "/v2/health/ready"), ("GET", "/v2/models/simple/ready"), ("GET", "/metrics")]


@pytest.mark.parametrize("method,path", USE + CONTROL + PROBES)
def test_tokens_over_http(guarded, method, path):
    control, is_probe = (method, path) in CONTROL, (method, path) in PROBES
    if path.endswith("/unload"):
        return  # the others need the model; covered over gRPC with an unknown name
    data = body() if "infer" in path else b"{}" if method == "POST" else b""
    for who, headers in BEARER.items():
        status, got, reply = guarded.request(method, path, data, headers)
        if is_probe:
            assert status == 200
        elif who == "admin" or (who == "user" and not control):
            assert status not in (401, 403), reply
        else:
            assert status == (403 if who == "user" else 401), (who, reply)
            assert USER not in reply.decode() and "error" in json.loads(reply)
            assert status == 403 or got["www-authenticate"] == "Bearer"


def test_the_metrics_port_does_nothing_else(guarded):
    for method, path in USE + CONTROL:
        assert probe(guarded, path, method, body() if "infer" in path else b"{}", BEARER["admin"])[0] == 404
    assert probe(guarded, "/metrics")[0] == 200 and probe(guarded, "/v2/health/ready")[0] == 200


def test_tokens_over_grpc(guarded):
    with grpc.insecure_channel(guarded.grpc) as c:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(c)
        infer = pb.ModelInferRequest(model_name="simple", raw_input_contents=[bytes(64)] * 2,
                                     inputs=[pb.ModelInferRequest.InferInputTensor(name=n, datatype="INT32", shape=[1, 16]) for n in ("INPUT0", "INPUT1")])
        use = [(stub.ServerMetadata, pb.ServerMetadataRequest()), (stub.ModelInfer, infer), (stub.ModelStatistics, pb.ModelStatisticsRequest()),
               (lambda r, **more: list(stub.ModelStreamInfer(iter([r]), **more)), infer), (stub.LogSettings, pb.LogSettingsRequest())]
        control = [(stub.RepositoryModelUnload, pb.RepositoryModelUnloadRequest(model_name="none")),
                   (stub.SystemSharedMemoryUnregister, pb.SystemSharedMemoryUnregisterRequest(name="none")),
                   (stub.LogSettings, pb.LogSettingsRequest(settings={"log_info": pb.LogSettingsRequest.SettingValue(bool_param=True)}))]
        for who, headers in BEARER.items():
            metadata = [(k.lower(), v) for k, v in headers.items()]
            assert stub.ServerReady(pb.ServerReadyRequest(), metadata=metadata, timeout=10).ready
            for call, request in use + control:
                may = who == "admin" or (who == "user" and (call, request) in use)
                if may:
                    call(request, metadata=metadata, timeout=10)
                    continue
                with pytest.raises(grpc.RpcError) as e:
                    call(request, metadata=metadata, timeout=10)
                assert e.value.code() == (grpc.StatusCode.PERMISSION_DENIED if who == "user" else grpc.StatusCode.UNAUTHENTICATED)


def test_tokens_come_and_go(guarded):
    new = "brand-new-token-0123456789"
    assert guarded.request("GET", "/v2", headers={"Authorization": f"Bearer {new}"})[0] == 401
    with open(guarded.tokens / "users", "a") as file:
        file.write(new + "\n")
    guarded.wait(lambda: guarded.request("GET", "/v2", headers={"Authorization": f"Bearer {new}"})[0] == 200, "the new token was not taken up")
    (guarded.tokens / "users").write_text(USER)
    guarded.wait(lambda: guarded.request("GET", "/v2", headers={"Authorization": f"Bearer {new}"})[0] == 401, "the old token stayed valid")
    assert guarded.request("GET", "/v2", headers=BEARER["user"])[0] == 200


def test_probes_can_need_a_token(repository, start, tmp_path):
    (tmp_path / "users").write_text(USER)
    s = start(repository, "--token-file", tmp_path / "users", "--token-for-probes", ready=False)
    s.wait(lambda: s.request("GET", "/v2/health/ready", headers=BEARER["user"])[0] == 200, "the server never became ready")
    assert s.get("/v2/health/live")[0] == 401 and probe(s, "/metrics")[0] == 401 and probe(s, "/metrics", headers=BEARER["user"])[0] == 200
    from grpc_health.v1 import health_pb2, health_pb2_grpc
    with grpc.insecure_channel(s.grpc) as c:
        with pytest.raises(grpc.RpcError) as e:
            health_pb2_grpc.HealthStub(c).Check(health_pb2.HealthCheckRequest(), timeout=10)
        assert e.value.code() == grpc.StatusCode.UNIMPLEMENTED
