# SPDX-License-Identifier: Apache-2.0
"""The model server inside a Python program: the queues, dynamic batching and statistics of `carnot serve`, with or without a network.

    with carnot.serve.Server("models") as server:
        outputs = server.infer("ocr", {"x": pixels})              # {name: numpy array}
        future = server.submit("ocr", {"x": pixels})              # a concurrent.futures.Future of the same
        outputs = await asyncio.wrap_future(server.submit(...))   # in a coroutine

    server = carnot.serve.Server("models", http_port=8000, grpc_port=8001)   # and other programs may ask, too
    server.start()

Requests of several threads or futures are joined into batches as those of clients are. The options are those of carnot/server.hpp;
docs/serving.md says what they mean and how the repository looks.
"""
from __future__ import annotations

import atexit
import concurrent.futures
import json
import os
import tempfile
import weakref
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from . import _serve, dtypes, engine
from ._runtime import Error

__all__ = ["ModelState", "Server"]

_running: "weakref.WeakSet[Server]" = weakref.WeakSet()


@dataclass(frozen=True)
class ModelState:
    """A version of a model in the repository."""
    name: str
    version: int | None  # None: of the whole model, which came to no version
    state: str           # READY, UNAVAILABLE, LOADING, UNLOADING; "" if it has never been asked for
    reason: str          # why it is not ready


class Server:
    """A repository of models, ready to answer. Any thread may call any member."""

    def __init__(self, repository: str | os.PathLike[str], *, control: str = "none", load: Sequence[str] = (), poll_interval: float = 15,
                 build: Callable[[str], str | os.PathLike[str]] | None = None,
                 http_port: int = -1, grpc_port: int = -1, metrics_port: int = -1, address: str = "127.0.0.1",
                 threads: int = 0, http_threads: int = 0, run_threads: int = 0,
                 max_body: int = 64 << 20, max_queue: int = 10000, max_connections: int = 4096, read_timeout: float = 30, idle_timeout: float = 300,
                 client_shared_memory: bool = False, shared_memory_prefix: str = "",
                 tls_certificate: str = "", tls_key: str = "", tls_client_ca: str = "",
                 token_file: str = "", admin_token_file: str = "", token_for_probes: bool = False,
                 otlp_endpoint: str = "", trace_rate: int = 1000, web_page: bool = True, drain_delay: float = 0,
                 log_level: int = 0, log_json: bool = False) -> None:
        """Nothing is loaded and no port is open before start().

        control: which models are loaded, and when: "none" all at the start, "poll" all and again every poll_interval seconds, "explicit" those of
        `load` ("*" = all) and then as load() and unload() say. Ports: -1 is closed, 0 any free one. Times are seconds. log_level: 0 errors, 1
        information, 2 each request, on standard error. build: makes an engine file of a model file (.onnx) and returns its path; left out, models are
        built with defaults and kept in the user's cache, as carnot.load() does.
        """
        options = {name: value for name, value in locals().items() if name != "self"}
        options["repository"] = os.fspath(repository)
        options["load"] = [load] if isinstance(load, str) else list(load)
        options["build"] = (lambda path: os.fspath(build(path))) if build else _Builder()
        self._handle = _serve.Server(options)

    def start(self) -> None:
        """Opens the ports and loads the models. Models that fail are logged, show in models(), and keep `ready` False."""
        _running.add(self)
        self._handle.start()

    def stop(self, timeout: float = 30) -> bool:
        """Answers what has been accepted, refuses the rest and ends. False if `timeout` seconds were too short for all answers."""
        clean = self._handle.stop(timeout)
        _running.discard(self)
        return clean

    def __enter__(self) -> Server:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def ready(self) -> bool:
        return self._handle.ready()

    @property
    def http_port(self) -> int:
        """The port that is open, -1 if none is."""
        return self._handle.http_port()

    @property
    def grpc_port(self) -> int:
        return self._handle.grpc_port()

    @property
    def metrics_port(self) -> int:
        return self._handle.metrics_port()

    def infer(self, model: str, inputs: Mapping[str, Any], outputs: Sequence[str] = (), *, version: int | None = None, id: str = "",
              priority: int = 0, timeout: float | None = None) -> dict[str, np.ndarray]:
        """Runs one request. inputs: {name: array}, numpy or anything with DLPack; outputs: which, in which order; none named = all.

        version: None is the newest. priority: 1 is the highest, 0 the model's default. timeout: seconds that the request may wait in the queue.
        """
        _, answer = self._handle.infer(*_call(model, inputs, outputs, version, id, priority, timeout))
        return _arrays(answer)

    def submit(self, model: str, inputs: Mapping[str, Any], outputs: Sequence[str] = (), *, version: int | None = None, id: str = "",
               priority: int = 0, timeout: float | None = None) -> concurrent.futures.Future[dict[str, np.ndarray]]:
        """As infer(), without a wait. The arrays must not change before the answer is there; the future cannot be cancelled."""
        future: concurrent.futures.Future[dict[str, np.ndarray]] = concurrent.futures.Future()
        future.set_running_or_notify_cancel()

        def done(answer: tuple[int, list[Any]] | None, problem: str | None) -> None:
            if answer is None:
                future.set_exception(Error(problem))
            else:
                future.set_result(_arrays(answer[1]))

        self._handle.submit(done, *_call(model, inputs, outputs, version, id, priority, timeout))
        return future

    def load(self, model: str) -> None:
        """Loads a model of the repository, or loads it again. If that fails, what was there stays."""
        self._handle.load(model)

    def unload(self, model: str) -> None:
        """Requests that have been accepted are answered. Unknown names are no mistake."""
        self._handle.unload(model)

    def models(self) -> list[ModelState]:
        return [ModelState(name, None if version < 0 else version, state, reason) for name, version, state, reason in self._handle.models()]

    def statistics(self) -> list[dict[str, Any]]:
        """Of each loaded version what GET /v2/models/stats says: counts and times of queue, input, inference and output, by batch size, too."""
        return json.loads(self._handle.statistics_json()).get("model_stats", [])


class _Builder:
    """Engine files of model files: the user's cache, and a folder of its own where that cannot be written."""

    def __init__(self) -> None:
        self._folder: tempfile.TemporaryDirectory[str] | None = None

    def __call__(self, path: str) -> str:
        cached = engine._cache_file(path)
        built = engine.load(path)
        if os.path.exists(cached):
            return cached
        # The file is mapped, so it must stay while the server may load it.
        self._folder = self._folder or tempfile.TemporaryDirectory(prefix="carnot-")
        file = os.path.join(self._folder.name, os.path.basename(cached))
        built.save(file)
        return file


def _call(model: str, inputs: Mapping[str, Any], outputs: Sequence[str], version: int | None, id: str, priority: int,
          timeout: float | None) -> tuple[Any, ...]:
    fed = []
    for name, value in inputs.items():
        try:
            fed.append((name, *dtypes.flat_bytes(value)))
        except (Error, TypeError, ValueError, BufferError) as problem:
            raise Error(f"input '{name}': {problem}") from None
    return (model, fed, [outputs] if isinstance(outputs, str) else list(outputs), -1 if version is None else version, id, priority,
            0 if timeout is None else max(1, round(timeout * 1e6)))


def _arrays(answer: Sequence[Any]) -> dict[str, np.ndarray]:
    return {name: data.view(dtypes.numpy_of(code)).reshape(dims) for name, code, dims, data in answer}


@atexit.register
def _stop_all() -> None:
    # Threads that answer requests call into Python, which must be there still.
    for server in list(_running):
        server.stop(0)
