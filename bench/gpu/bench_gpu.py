#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Times Carnot on a GPU beside torch and ONNX Runtime, in turns, inputs and outputs in the device's memory.

usage: bench-gpu [MODEL...] [--precision fp16] [--batch 1] [--peers graph,compile,eager,ort] [--profile] [--json FILE]
                 [--models FOLDER] [--workers 6] [--prepare SECONDS] [--carnot SETTING]

MODEL is a name of the folder's graphs (default: all). Peers: torch's own model of the same network (torch_models.py; channels-last,
cudnn.benchmark) in a CUDA graph (graph), compiled by torch.compile and then recorded in a CUDA graph (compile), as it is (eager), and
ONNX Runtime's CUDA provider with bound memory (ort), each where it can be imported and takes the network.

Several processes build engines and compile models side by side; once all are ready the GPU belongs to one network at a time. Peers take
turns, 8 rounds of 12 runs each, every run between two events of the device after two untimed ones. Reported are the median and the least
in ms; the ratio is the best peer's median over Carnot's (above 1: Carnot is faster). The error is that of every output against Carnot's own
CPU engine in fp32, as a share of the output's range. Peers have drawn weights of their own: of theirs only the time counts.
--profile adds each command's time on the device beside its roofline (bytes at 3.0 TB/s, operations at 800 TFLOP/s in 16 bits, 400 in tf32,
60 in fp32, 1.5 us for a launch) to the JSON.
"""
import argparse
import json
import math
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time
import traceback

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import engine

ROUNDS, RUNS, UNTIMED = 8, 12, 2
CUDA_OPTIONS = {"fp16": ("--precision", "fp16"), "bf16": ("--precision", "bf16"), "tf32": ("--precision", "tf32"), "fp32": ()}


# --- one process, several networks ---------------------------------------------------------------------------------------------


class Network:
    """One network with whatever peers can run it."""

    def __init__(self, name, args, folder, deadline):
        self.name, self.args, self.folder, self.deadline = name, args, folder, deadline
        self.row = {"model": name, "precision": args.precision, "batch": args.batch, "peers": {}, "failed": {}}
        self.calls = {}

    def prepare(self):
        import numpy as np
        import torch
        import feeds
        subprocess.run([sys.executable, str(self.args.models / "materialize.py"), str(self.folder), self.name], check=True, capture_output=True)
        path = self.folder / (self.name + ".onnx")
        model = feeds.Model(str(path), self.name)
        shapes = model.shapes()[0]
        if self.args.batch != 1:
            # The first dim of every input is the batch where one network serves any; exports with a fixed batch are left out.
            symbolic = [k for k, (_, dims) in model.inputs.items() if isinstance(dims[0], str)]
            if len(symbolic) != len(model.inputs) or self.name in feeds.SHAPES:
                raise ValueError("the export has a fixed batch")
            shapes = {k: (self.args.batch,) + tuple(s[1:]) for k, s in shapes.items()}
        self.values = model.feeds(0, shapes)
        fixed = [o for k, s in shapes.items() for o in ("--shape", f"{k}:{'x'.join(map(str, s))}")]
        cpu, cuda = self.folder / (self.name + ".cpu"), self.folder / (self.name + ".cuda")
        engine.build(path, cpu, *fixed)
        self.row["build_s"] = round(engine.build(path, cuda, "--device", "cuda", *CUDA_OPTIONS[self.args.precision], *self.args.carnot, *fixed), 2)
        reference = engine.Session(cpu)
        for k, v in self.values.items():
            reference.feed(k, v)
        reference.run()
        self.want = {o: reference.get(o) for o in reference.outputs}
        reference.close()
        self.row["cuda_mb"] = round(cuda.stat().st_size / 1e6, 1)
        self.device_values = {k: torch.from_numpy(np.ascontiguousarray(v)).cuda() for k, v in self.values.items()}
        self.stream = torch.cuda.Stream()
        self.session = self.open(cuda)
        for _ in range(4):  # eager, recorded, replayed
            self.session.run()
        self.row["error"] = max(engine.error(w, self.results[o].cpu().numpy()[:w.nbytes].view(w.dtype).reshape(w.shape)) for o, w in self.want.items())
        self.row["load_s"] = round(self.session.load_seconds, 2)
        self.row["memory_mb"] = round(self.session.memory() / 1e6, 1)
        share, host = self.session.share_on_device()
        self.row.update(share=round(share, 4), host=len(host), commands=len(self.session.commands()))
        self.calls["carnot"] = (self.session.enqueue, self.stream)
        path.unlink()
        cpu.unlink()
        for peer in self.args.peers:
            if time.time() > self.deadline and peer == "compile":
                self.row["failed"][peer] = "no time left to compile"
                continue
            try:
                self.add(peer)
            except Exception as e:
                self.row["failed"][peer] = f"{type(e).__name__}: {e}"[:300]
                torch.cuda.synchronize()

    def open(self, path, profile=False):
        import torch
        session = engine.Session(path, self.stream.cuda_stream, profile)
        for k, t in self.device_values.items():
            session.bind(k, self.values[k].dtype, self.values[k].shape, t.data_ptr(), self.values[k].nbytes)
        self.results = {o: torch.zeros(max(1, w.nbytes), dtype=torch.uint8, device="cuda") for o, w in self.want.items()}
        for o, w in self.want.items():
            session.bind(o, w.dtype, w.shape, self.results[o].data_ptr(), w.nbytes, output=True)
        torch.cuda.synchronize()
        return session

    def torch_model(self):
        import torch
        import torch_models
        if not hasattr(self, "model"):
            type_ = {"fp16": torch.float16, "bf16": torch.bfloat16}.get(self.args.precision, torch.float32)
            torch.backends.cudnn.benchmark = True
            torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = self.args.precision == "tf32"
            self.model = torch_models.make(self.name).cuda().to(type_)
            self.inputs = [t.to(type_) if t.is_floating_point() else t for t in self.device_values.values()]
            if self.name == "gpt2_decode.ts":
                self.inputs = [self.inputs[list(self.values).index(k)] for k in ("input_ids", "kv")]
            if self.name.startswith("dlrm"):
                self.inputs = [self.inputs[list(self.values).index(k)] for k in ("dense", "idx")]
            if any(t.dim() == 4 for t in self.inputs):
                self.model = self.model.to(memory_format=torch.channels_last)
                self.inputs = [t.contiguous(memory_format=torch.channels_last) if t.dim() == 4 else t for t in self.inputs]
        return self.model

    def recorded(self, model):
        import torch
        stream = torch.cuda.Stream()
        with torch.cuda.stream(stream), torch.inference_mode():
            for _ in range(4):
                model(*self.inputs)
        stream.synchronize()
        graph = torch.cuda.CUDAGraph()
        with torch.inference_mode(), torch.cuda.graph(graph, stream=stream):
            kept = model(*self.inputs)
        self.row.setdefault("kept", [])
        self.keep = getattr(self, "keep", []) + [graph, kept]
        return graph.replay, stream

    def add(self, peer):
        import torch
        import torch_models
        if peer == "ort":
            self.calls[peer] = self.ort()
            return
        model = self.torch_model()
        if peer == "eager":
            def eager():
                with torch.inference_mode():
                    model(*self.inputs)
            eager()
            self.calls[peer] = (eager, torch.cuda.Stream())
            return
        if self.name.split(".")[0] in torch_models.EAGER_ONLY:
            raise ValueError("torch cannot record this network")
        self.calls[peer] = self.recorded(torch.compile(model) if peer == "compile" else model)

    def ort(self):
        import onnxruntime
        import torch
        if "CUDAExecutionProvider" not in onnxruntime.get_available_providers():
            raise RuntimeError("this ONNX Runtime has no CUDA provider")
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        subprocess.run([sys.executable, str(self.args.models / "materialize.py"), str(self.folder), self.name], check=True, capture_output=True)
        session = onnxruntime.InferenceSession(str(self.folder / (self.name + ".onnx")), options, providers=[
            ("CUDAExecutionProvider", {"cudnn_conv_algo_search": "EXHAUSTIVE", "prefer_nhwc": "1", "use_tf32": "1" if self.args.precision == "tf32" else "0"})])
        binding = session.io_binding()
        for k, t in self.device_values.items():
            binding.bind_input(k, "cuda", 0, self.values[k].dtype, self.values[k].shape, t.data_ptr())
        for o in self.want:
            binding.bind_output(o, "cuda")
        return (lambda: session.run_with_iobinding(binding)), torch.cuda.current_stream()

    def measure(self):
        import torch
        times = {peer: [] for peer in self.calls}
        host = []
        begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        for _ in range(ROUNDS):
            for peer, (call, stream) in list(self.calls.items()):
                try:
                    with torch.cuda.stream(stream):
                        for i in range(UNTIMED + (RUNS if len(times[peer]) < 5 or times[peer][-1] < 20 else 2)):
                            begin.record(stream)
                            at = time.perf_counter()
                            call()
                            end.record(stream)
                            end.synchronize()
                            if i >= UNTIMED:
                                times[peer].append(begin.elapsed_time(end))
                                if peer == "carnot":
                                    host.append((time.perf_counter() - at) * 1e3)
                except Exception as e:
                    self.row["failed"][peer] = f"{type(e).__name__}: {e}"[:300]
                    del self.calls[peer], times[peer]
                    if peer == "carnot":
                        raise
        for peer, all_times in times.items():
            self.row["peers"][peer] = {"median": round(statistics.median(all_times), 4), "min": round(min(all_times), 4)}
        self.row["host_ms"] = round(min(host), 4)
        if self.args.profile:
            self.row["profile"] = self.profile()

    def profile(self):
        session = self.open(self.folder / (self.name + ".cuda"), profile=True)
        for _ in range(2):
            session.run()
        described, rows = session.about["plans"][0]["commands"], []
        for about, took in zip(described, session.profile()):
            rows.append({"kernel": (about.get("note") or about["kernel"]).split(":")[0] if about["kernel"] == "cuda.launch" else about["kernel"], "where": about["where"],
                         "us": round(took["microseconds"], 2), "floor_us": round(floor_us(about, self.args.precision), 2), "in": about["inputs"], "out": about["outputs"]})
        session.close()
        return rows


def sizes_of(text):
    """('f16', [1, 128, 768]) of 'f16[1,128,768]'; None for dims that are no numbers."""
    dtype, _, dims = text.partition("[")
    try:
        return dtype, [int(d) for d in dims.rstrip("]").split(",") if d]
    except ValueError:
        return None


def floor_us(about, precision):
    """The least that a command could take: its bytes, its operations, and a launch."""
    if not about["kernel"].startswith("cuda."):
        return 0.0
    ins, outs = [sizes_of(t) for t in about["inputs"] if t], [sizes_of(t) for t in about["outputs"]]
    if None in outs or not outs:
        return 0.0
    width = {"f16": 2, "bf16": 2, "f32": 4, "i64": 8, "f64": 8, "i32": 4}
    moved = sum(math.prod(s[1]) * width.get(s[0], 1) for s in ins + outs if s)
    elements, work = math.prod(outs[0][1]), 0
    if about["kernel"] == "cuda.gemm" and ins and ins[0]:
        work = 2 * elements * ins[0][1][-1]
    elif about["kernel"].startswith("cuda.conv") and len(ins) > 1 and ins[1] and ins[1][1]:
        work = 2 * elements * math.prod(ins[1][1][1:])
    elif about["kernel"] == "cuda.sdpa" and len(ins) > 1 and ins[1]:
        work = 4 * elements * max(ins[1][1][1:3])
    rate = 800e6 if outs[0][0] in ("f16", "bf16") else 400e6 if precision == "tf32" else 60e6
    return max(moved / 3.0e6, work / rate, 1.5)


def worker(args, names):
    """Prepares its networks, says so, and measures each when the parent's word comes."""
    engine.library()
    import torch
    networks = []
    torch.cuda.init()
    with tempfile.TemporaryDirectory() as folder:
        deadline = time.time() + args.prepare
        for name in names:
            network = Network(name, args, pathlib.Path(folder), deadline)
            try:
                network.prepare()
                networks.append(network)
            except Exception as e:
                network.row["failed"]["carnot"] = f"{type(e).__name__}: {e}"[:400]
                if os.environ.get("CARNOT_BENCH_TRACE"):
                    traceback.print_exc()
                print("ROW " + json.dumps(network.row), flush=True)
        print("READY", flush=True)
        for network in networks:
            if not sys.stdin.readline():
                return
            try:
                network.measure()
            except Exception as e:
                network.row["failed"]["carnot"] = f"{type(e).__name__}: {e}"[:400]
            network.row.pop("kept", None)
            print("ROW " + json.dumps(network.row), flush=True)
            print("DONE", flush=True)
    os._exit(0)  # the driver's threads need no farewell


# --- the parent --------------------------------------------------------------------------------------------------------------------


def gather(args):
    names = args.names or sorted(p.stem for p in args.models.glob("*.onnx"))
    # Both exports of a network go to one process, which compiles the torch model once.
    groups = {}
    for name in names:
        groups.setdefault(name.split(".")[0], []).append(name)
    shares = [[] for _ in range(min(args.workers, len(groups)))]
    for i, group in enumerate(groups.values()):
        shares[i % len(shares)] += group
    command = [sys.executable, str(pathlib.Path(__file__).resolve()), "--worker", "--precision", args.precision, "--batch", str(args.batch),
               "--peers", ",".join(args.peers), "--models", str(args.models), "--prepare", str(args.prepare)] + (["--profile"] if args.profile else [])
    command += [o for option in args.carnot for o in ("--carnot=" + option,)]
    workers = [(share, subprocess.Popen(command + share, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)) for share in shares]
    rows = {}

    def read(process, until):
        for line in process.stdout:
            if line.startswith("ROW "):
                row = json.loads(line[4:])
                rows[row["model"]] = row
                show(row)
            elif line.strip() == until:
                return True
        return False

    ready = [read(process, "READY") for _, process in workers]
    for (share, process), good in zip(workers, ready):
        while good and process.poll() is None and any(n not in rows for n in share):
            process.stdin.write("go\n")
            process.stdin.flush()
            good = read(process, "DONE")
        process.kill()
        for name in share:
            rows.setdefault(name, {"model": name, "precision": args.precision, "batch": args.batch, "peers": {}, "failed": {"carnot": f"the process ended ({process.wait()})"}})
    return [rows[n] for n in names]


COLUMNS = ("carnot", "graph", "compile", "eager", "ort")


def ratio(row):
    peers = [t["median"] for p, t in row["peers"].items() if p != "carnot"]
    return min(peers) / row["peers"]["carnot"]["median"] if peers and "carnot" in row["peers"] else None


def line(row):
    cells = [f'{row["peers"][p]["median"]:.3f}' if p in row["peers"] else "-" for p in COLUMNS]
    least = f'{row["peers"]["carnot"]["min"]:.3f}' if "carnot" in row["peers"] else "-"
    best = ratio(row)
    return [row["model"], cells[0], least, *cells[1:], f"{best:.2f}" if best else "-", f'{row["error"]:.1e}' if "error" in row else "-",
            f'{100 * row["share"]:.1f}' if "share" in row else "-", str(row.get("commands", "-")), str(row.get("build_s", "-")), str(row.get("load_s", "-"))]


def show(row):
    print(" ".join(line(row)), "; ".join(f"{k}: {v[:160]}" for k, v in row["failed"].items() if k == "carnot" or "no CUDA provider" not in v), flush=True)


def table(rows):
    head = ["model", "Carnot", "least", "torch graph", "torch compile", "torch eager", "ORT CUDA", "ratio", "error", "% on GPU", "commands", "build s", "load s"]
    out = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    out += ["| " + " | ".join(line(row)) + " |" for row in rows]
    ratios = [r for r in map(ratio, rows) if r]
    if ratios:
        out.append(f"\nGeometric mean of the ratios, {len(ratios)} networks: {math.exp(statistics.mean(map(math.log, ratios))):.3f}, least {min(ratios):.2f}.")
    return "\n".join(out)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*")
    parser.add_argument("--precision", choices=CUDA_OPTIONS, default="fp16")
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--peers", default="graph,compile,eager,ort")
    parser.add_argument("--profile", action="store_true")
    parser.add_argument("--json", type=pathlib.Path)
    parser.add_argument("--models", type=pathlib.Path, default=engine.HERE / "models")
    parser.add_argument("--workers", type=int, default=6)
    parser.add_argument("--prepare", type=float, default=240, help="seconds after which no further torch.compile is started")
    parser.add_argument("--carnot", action="append", default=[], help="a further option of carnot build, as --carnot=--effort=default")
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    args.peers = [p for p in args.peers.split(",") if p]
    engine.restart_with_libraries()
    if args.worker:
        return worker(args, args.names)
    rows = gather(args)
    text = table(rows)
    print(text)
    if args.json:
        args.json.write_text(json.dumps({"rows": rows, "rounds": ROUNDS, "runs": RUNS}, indent=1))
        args.json.with_suffix(".md").write_text(text + "\n")


if __name__ == "__main__":
    main()
