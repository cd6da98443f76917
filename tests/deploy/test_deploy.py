# SPDX-License-Identifier: Apache-2.0
"""The files of deploy/: that they say nothing unknown, agree with each other and with the server that was built."""
import os
import pathlib
import re
import shlex
import shutil
import subprocess

import pytest
import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
BUILD = pathlib.Path(os.environ.get("CARNOT_BUILD", ROOT / "build")).resolve()
CARNOT = BUILD / "carnot"

# ---- the fields that Kubernetes and KServe know, as far as they are used here. A field that is not listed is a mistake: the API server
# drops or refuses it. str, int, bool: a value of that type; [x]: a list of x; {"*": x}: a map; "!" after a name: must be there.
QUANTITY = re.compile(r"\d+(\.\d+)?(m|Ki|Mi|Gi)?")
NAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
LABELS = {"*": str}
META = {"name!": NAME, "labels": LABELS, "annotations": LABELS}
PROBE = {"httpGet!": {"path!": re.compile("/.*"), "port!": (str, int)}, "periodSeconds": int, "failureThreshold": int}
CONTAINER = {
    "name!": NAME, "image!": str, "args": [str], "env": [{"name!": str, "value!": str}],
    "ports": [{"name!": re.compile("[a-z][a-z0-9-]{0,14}"), "containerPort!": int, "protocol": re.compile("TCP|UDP")}],
    "startupProbe": PROBE, "readinessProbe!": PROBE, "livenessProbe!": PROBE,
    "resources!": {"requests": {"*": QUANTITY}, "limits": {"*": QUANTITY}},
    "securityContext!": {"allowPrivilegeEscalation!": bool, "readOnlyRootFilesystem": bool, "runAsNonRoot": bool, "runAsUser": int, "capabilities!": {"drop!": [str]}},
    "volumeMounts": [{"name!": NAME, "mountPath!": re.compile("/.*"), "readOnly": bool}]}
POD = {
    "terminationGracePeriodSeconds!": int, "automountServiceAccountToken": bool, "containers!": [CONTAINER],
    "securityContext": {"runAsNonRoot": bool, "runAsUser": int, "runAsGroup": int, "fsGroup": int, "seccompProfile": {"type!": re.compile("RuntimeDefault")}},
    "volumes": [{"name!": NAME, "emptyDir": {}, "persistentVolumeClaim": {"claimName!": NAME, "readOnly": bool}}]}
SELECTOR = {"matchLabels!": LABELS}
POLICIES = {"stabilizationWindowSeconds": int, "policies": [{"type!": re.compile("Pods|Percent"), "value!": int, "periodSeconds!": int}]}
KINDS = {
    ("apps/v1", "Deployment"): {"selector!": SELECTOR, "template!": {"metadata!": {"labels!": LABELS, "annotations": LABELS}, "spec!": POD},
                                "strategy": {"type!": re.compile("RollingUpdate"), "rollingUpdate": {"maxUnavailable": int, "maxSurge": int}}},
    ("v1", "Service"): {"selector!": LABELS, "ports!": [{"name!": NAME, "port!": int, "targetPort!": (str, int), "appProtocol": str}]},
    ("autoscaling/v2", "HorizontalPodAutoscaler"): {
        "scaleTargetRef!": {"apiVersion!": str, "kind!": str, "name!": NAME}, "minReplicas": int, "maxReplicas!": int,
        "metrics!": [{"type!": re.compile("Pods"), "pods!": {"metric!": {"name!": str}, "target!": {"type!": re.compile("AverageValue"), "averageValue!": QUANTITY}}}],
        "behavior": {"scaleUp": POLICIES, "scaleDown": POLICIES}},
    ("policy/v1", "PodDisruptionBudget"): {"selector!": SELECTOR, "maxUnavailable": int},
    ("serving.kserve.io/v1alpha1", "ServingRuntime"): {
        "annotations": LABELS, "supportedModelFormats!": [{"name!": str, "version": str, "autoSelect": bool, "priority": int}],
        "protocolVersions!": [re.compile("v1|v2|grpc-v2")], "containers!": [CONTAINER]},
    ("serving.kserve.io/v1beta1", "InferenceService"): {"predictor!": {
        "minReplicas": int, "maxReplicas": int,
        "model!": {"runtime": NAME, "modelFormat!": {"name!": str, "version": str}, "protocolVersion": re.compile("v1|v2|grpc-v2"),
                   "storageUri!": re.compile("(pvc|s3|gs|https?)://.+")}}}}


def wrong(value, schema, where):
    """What does not fit, as texts."""
    if isinstance(schema, dict):
        if not isinstance(value, dict):
            return [f"{where}: a map is expected"]
        if "*" in schema:
            return [m for k, v in value.items() for m in wrong(k, str, where) + wrong(v, schema["*"], f"{where}.{k}")]
        names = {k.rstrip("!"): v for k, v in schema.items()}
        found = [f"{where}.{k}: unknown" for k in value if k not in names]
        found += [f"{where}.{k[:-1]}: missing" for k in schema if k.endswith("!") and k[:-1] not in value]
        return found + [m for k, v in value.items() if k in names for m in wrong(v, names[k], f"{where}.{k}")]
    if isinstance(schema, list):
        if not isinstance(value, list) or not value:
            return [f"{where}: a list is expected"]
        return [m for i, v in enumerate(value) for m in wrong(v, schema[0], f"{where}[{i}]")]
    if isinstance(schema, re.Pattern):
        return [] if isinstance(value, str) and schema.fullmatch(value) else [f"{where}: {value!r} does not fit {schema.pattern}"]
    types = schema if isinstance(schema, tuple) else (schema,)
    return [] if type(value) in types else [f"{where}: {value!r} is no {'/'.join(t.__name__ for t in types)}"]


class Strict(yaml.SafeLoader):
    """Keys that stand twice are a mistake, too."""

    def construct_mapping(self, node, deep=False):
        keys = [self.construct_object(k) for k, _ in node.value]
        assert len(set(keys)) == len(keys), f"a key stands twice: {keys}"
        return super().construct_mapping(node, deep)


def documents(path):
    return [d for d in yaml.load_all((DEPLOY / path).read_text(), Strict)]


def document_errors(d):
    if set(d) != {"apiVersion", "kind", "metadata", "spec"}:
        return [f"{sorted(d)} instead of apiVersion, kind, metadata, spec"]
    schema = KINDS.get((d["apiVersion"], d["kind"]))
    if not schema:
        return [f"{d['apiVersion']} {d['kind']} is unknown"]
    return wrong(d["metadata"], META, "metadata") + wrong(d["spec"], schema, "spec")


MANIFESTS = ["kubernetes/carnot.yaml", "kserve/runtime.yaml", "kserve/inferenceservice.yaml"]
ALL = {(d["kind"], d["metadata"]["name"]): d for path in MANIFESTS for d in documents(path)}


@pytest.mark.parametrize("path", MANIFESTS)
def test_manifests_say_nothing_unknown(path):
    found = documents(path)
    assert found and [m for d in found for m in document_errors(d)] == []


def test_the_check_finds_mistakes():
    text = (DEPLOY / "kubernetes/carnot.yaml").read_text()
    for right, mistaken in (("readinessProbe:", "readynessProbe:"), ("containerPort: 8000", 'containerPort: "8000"'), ("memory: 2Gi", "memory: 2Gb"),
                            ("runAsUser: 1000", "runAsUser: root"), ("kind: Service\n", "kind: Servise\n"), ("policy/v1", "policy/v1beta1"), ("drop: [ALL]", "drop: ALL")):
        assert right in text
        changed = yaml.load_all(text.replace(right, mistaken, 1), Strict)
        assert [m for d in changed for m in document_errors(d)] != [], mistaken
    with pytest.raises(AssertionError, match="twice"):
        yaml.load("a: 1\na: 2", Strict)


def test_manifests_agree_with_each_other():
    deployment, service, scaler = (ALL[kind, "carnot"]["spec"] for kind in ("Deployment", "Service", "HorizontalPodAutoscaler"))
    labels = deployment["template"]["metadata"]["labels"]
    for selector in (deployment["selector"]["matchLabels"], service["selector"], ALL["PodDisruptionBudget", "carnot"]["spec"]["selector"]["matchLabels"]):
        assert selector.items() <= labels.items()
    container, pod = deployment["template"]["spec"]["containers"][0], deployment["template"]["spec"]
    ports = {p["name"]: p["containerPort"] for p in container["ports"]}
    assert {p["targetPort"] for p in service["ports"]} <= ports.keys()
    assert {v["name"] for v in pod["volumes"]} == {m["name"] for m in container["volumeMounts"]}
    assert (scaler["scaleTargetRef"]["kind"], scaler["scaleTargetRef"]["name"]) in ALL
    assert deployment["template"]["metadata"]["annotations"]["prometheus.io/port"] == str(ports["metrics"])
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        assert container[probe]["httpGet"]["port"] == "metrics"
    arguments = container["args"]
    drain = sum(float(arguments[arguments.index(o) + 1]) for o in ("--drain-delay", "--drain-timeout"))
    assert drain < pod["terminationGracePeriodSeconds"]
    model, runtime = ALL["InferenceService", "ocr"]["spec"]["predictor"]["model"], ALL["ServingRuntime", "carnot"]["spec"]
    assert model["runtime"] == "carnot" and model["modelFormat"] in [{k: f[k] for k in ("name", "version")} for f in runtime["supportedModelFormats"]]
    assert runtime["containers"][0]["name"] == "kserve-container" and model["protocolVersion"] in runtime["protocolVersions"]
    versions = {c["image"] for d in (pod, runtime) for c in d["containers"]}
    assert versions == {"carnot:" + re.search(r"project\(carnot VERSION ([\d.]+)", (ROOT / "CMakeLists.txt").read_text())[1]}


def test_the_autoscaler_asks_for_metrics_that_are_there():
    rules = documents("kubernetes/prometheus-adapter.yaml")[0]["rules"]["custom"]
    asked = {m["pods"]["metric"]["name"] for m in ALL["HorizontalPodAutoscaler", "carnot"]["spec"]["metrics"]}
    assert asked == {r["name"]["as"] for r in rules}
    source = (ROOT / "server/core/metrics.cpp").read_text()
    for rule in rules:
        names = set(re.findall(r"\bnv_\w+|\bcarnot_\w+", rule["seriesQuery"] + rule["metricsQuery"]))
        assert names and all(f'"{n}"' in source for n in names)
        assert rule["metricsQuery"].count("(") == rule["metricsQuery"].count(")") and "<<.LabelMatchers>>" in rule["metricsQuery"] and "<<.GroupBy>>" in rule["metricsQuery"]


def instructions():
    lines = re.sub(r"\\\n", " ", re.sub(r"^\s*#.*\n", "", (DEPLOY / "Containerfile").read_text(), flags=re.M))
    return [line.split(None, 1) for line in lines.splitlines() if line.strip()]


def test_containerfile():
    found = instructions()
    known = {"FROM", "WORKDIR", "COPY", "RUN", "ENV", "USER", "VOLUME", "EXPOSE", "STOPSIGNAL", "ENTRYPOINT", "CMD"}
    assert [name for name, _ in found if name not in known] == [] and found[0][0] == "FROM"
    of = lambda name: [text for n, text in found if n == name]
    assert of("USER") == ["1000:1000"] and of("ENTRYPOINT") == ['["carnot", "serve"]'] and set(of("EXPOSE")[0].split()) == {"8000", "8001", "8002"}
    for text in of("RUN"):
        assert subprocess.run(["sh", "-n", "-c", text]).returncode == 0, text
    # What it takes out of the setup script is a list of packages.
    extract = re.search(r"\$\((sed .*?)\)", of("RUN")[0])[1]
    packages = subprocess.run(["sh", "-c", extract], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    assert {"g++", "cmake", "ninja-build", "libgrpc++-dev"} <= set(packages) and all(re.fullmatch(r"[a-z0-9][a-z0-9.+-]*", p) for p in packages)
    for text in of("COPY"):
        source = text.split()[0]
        assert source.startswith("--from=build") or (ROOT / source).exists()
    assert "build*" in (ROOT / ".dockerignore").read_text()


@pytest.mark.skipif(not shutil.which("dpkg"), reason="this is no Debian")
def test_the_container_has_the_libraries_that_the_server_needs():
    needed = set()
    for file in (CARNOT, BUILD / "libcarnot.so", BUILD / "libcarnot_server.so"):
        needed |= set(re.findall(r"\(NEEDED\).*\[(.+)\]", subprocess.run(["readelf", "-d", file], capture_output=True, text=True, check=True).stdout))
    installed = set(re.search(r"install -y --no-install-recommends ([^&]+)", [t for n, t in instructions() if n == "RUN"][-2])[1].split())
    where = dict(re.findall(r"(\S+) => (\S+)", subprocess.run(["ldd", CARNOT], capture_output=True, text=True, check=True).stdout))
    basic = {"libc6", "libgcc-s1"}
    missing = {}
    for library in sorted(n for n in needed if not n.startswith(("libcarnot", "ld-linux"))):
        path = os.path.realpath(where.get(library, library))
        # Packages from before /lib became a link to /usr/lib know their files by the old name.
        found = [subprocess.run(["dpkg", "-S", p], capture_output=True, text=True).stdout for p in (path, path.removeprefix("/usr"))]
        package = (found[0] or found[1]).split(":")[0]
        # Part of what a listed package brings along.
        brought = {p for i in installed for p in re.findall(r"[a-z0-9.+-]{3,}", subprocess.run(["dpkg-query", "-W", "-f", "${Depends}", i], capture_output=True, text=True).stdout)}
        if package not in installed | basic | brought:
            missing[library] = package
    assert missing == {}


def options():
    """The options that `carnot serve` has."""
    text = subprocess.run([CARNOT, "serve", "--help"], capture_output=True, text=True, check=True).stdout
    return set(re.findall(r"--[a-z][a-z-]*", text))


def test_every_option_is_one_that_the_server_has():
    command = re.search(r"^ExecStart=(.*)$", (DEPLOY / "carnot.service").read_text(), re.M)[1]
    lines = [shlex.split(command), [t for n, t in instructions() if n == "CMD"][0].split(),
             ALL["Deployment", "carnot"]["spec"]["template"]["spec"]["containers"][0]["args"], ALL["ServingRuntime", "carnot"]["spec"]["containers"][0]["args"]]
    used = {o for line in lines for o in re.findall(r"--[a-z][a-z-]*", " ".join(line))}
    assert used and used - options() == set()


def test_the_arguments_start_a_server(tmp_path):
    # As in the manifests, with ports that are free.
    for arguments in ([t for n, t in instructions() if n == "CMD"][0].strip("[]").replace('"', "").split(", "), ALL["ServingRuntime", "carnot"]["spec"]["containers"][0]["args"]):
        line = [re.sub(r"^(--\w+-port=)\d+$", r"\g<1>0", a).replace("/mnt/models", str(tmp_path)) for a in arguments]
        line = ["0" if re.fullmatch("800[0-2]", a) else str(tmp_path) if a == "/models" else "0" if before == "--drain-delay" else a for before, a in zip(["", *line], line)]
        line = [re.sub("--drain-delay=.*", "--drain-delay=0", a) for a in line]
        process = subprocess.Popen([CARNOT, "serve", *line, "--address", "127.0.0.1"], stderr=subprocess.PIPE, text=True)
        for _ in range(3):
            assert " at 127.0.0.1:" in process.stderr.readline()
        process.terminate()
        assert process.wait(20) == 0


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="there is no systemd-analyze")
def test_systemd_unit(tmp_path):
    text = (DEPLOY / "carnot.service").read_text()
    assert "/usr/local/bin/carnot serve" in text
    (tmp_path / "carnot.service").write_text(text.replace("/usr/local/bin/carnot", str(CARNOT)))
    done = subprocess.run(["systemd-analyze", "verify", "--man=no", tmp_path / "carnot.service"], capture_output=True, text=True, timeout=60)
    complaints = [line for line in done.stderr.splitlines() if "carnot" in line]
    assert complaints == []
    grace = {k: float(v) for k, v in re.findall(r"(TimeoutStopSec|--drain-timeout)[= ](\d+)", text)}
    assert grace["--drain-timeout"] < grace["TimeoutStopSec"]
