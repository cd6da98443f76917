# SPDX-License-Identifier: Apache-2.0
"""The page at /: that it is closed to everything outside, that its data is there, and (with Chromium) what it shows."""
import base64
import hashlib
import html.parser
import json
import re
import shutil
import subprocess
import urllib.parse

import pytest

from conftest import ROOT, write_scale, write_simple
from test_http import body

PAGE = (ROOT / "server/web/page.html").read_text()
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
INFER = "/v2/models/simple/infer"


@pytest.fixture(scope="module")
def repository(tmp_path_factory):
    folder = tmp_path_factory.mktemp("repository")
    write_simple(folder / "simple/1/model.onnx")
    write_scale(folder / "scale/3/model.onnx", 2.0)
    (folder / "broken/1").mkdir(parents=True)
    (folder / "broken/1/model.engine").write_bytes(b"<script>no engine</script>")
    return folder


def test_the_page_comes_whole_and_closed(server):
    status, headers, reply = server.get("/")
    assert status == 200 and headers["content-type"] == "text/html; charset=utf-8" and reply.decode() == PAGE
    assert server.get("/?x=1")[0] == 200 and server.request("HEAD", "/")[0] == 200 and server.post("/")[0] == 405
    policy = dict(part.strip().split(" ", 1) for part in headers["content-security-policy"].split(";"))
    assert policy["default-src"] == policy["base-uri"] == policy["form-action"] == policy["frame-ancestors"] == "'none'" and policy["connect-src"] == "'self'"
    for name in ("script", "style"):
        inside = re.search(f"<{name}>(.*?)</{name}>", PAGE, re.S)[1]
        assert policy[f"{name}-src"] == f"'sha256-{base64.b64encode(hashlib.sha256(inside.encode()).digest()).decode()}'"
    assert headers["x-content-type-options"] == "nosniff"


def test_nothing_comes_from_outside():
    class Look(html.parser.HTMLParser):
        def handle_starttag(self, tag, attributes):
            names = dict(attributes)
            assert not {"src", "href", "srcset", "action", "style"} & names.keys() and not any(n.startswith("on") for n in names), (tag, names)
            assert tag not in ("link", "iframe", "object", "embed", "base", "img")

    Look().feed(PAGE)
    urls = set(re.findall(r"https?://[^\s\"']+", PAGE))
    assert urls == {"http://www.w3.org/2000/svg"}  # a name, not a place
    assert not re.search(r"@import|url\(|innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(|new Function", PAGE)


def test_what_the_page_asks_for_is_there(server):
    server.post(INFER, body())
    assert "model_stats" in json.loads(server.get("/v2/models/stats")[2]) and json.loads(server.get("/v2")[2])["version"]
    index = json.loads(server.post("/v2/repository/index", "{}")[2])
    model = next(m for m in index if m["name"] == "simple")
    base = f"/v2/models/simple/versions/{model['version']}"
    for what in ("", "/config"):
        assert server.get(base + what)[0] == 200
    for path in (base + "/report", "/v2/models/simple/report"):
        status, _, reply = server.get(path)
        report = json.loads(reply)
        assert status == 200 and report["inputs"][0]["name"] == "INPUT0" and len(report["plans"][0]["commands"]) == 1
        assert {"kernel", "precision", "outputs", "where", "note"} <= report["plans"][0]["commands"][0].keys() and report["build"]["device"] == "cpu"
        assert str(server.folder) not in reply.decode()
    assert server.get("/v2/models/none/report")[0] == 404 and server.post(base + "/report")[0] == 405
    metrics = server.get("/metrics")[2].decode()
    for name in re.findall(r'"((?:nv|carnot)_\w+)"', PAGE):
        assert f"{name}{{" in metrics or f"{name} " in metrics, name


def test_it_can_be_left_out(server, start):
    assert start(server.folder, "--web-page", "false").get("/")[0] == 404


def test_the_page_is_open_and_its_data_is_not(repository, start, tmp_path):
    (tmp_path / "users").write_text("a-token-for-the-page")
    s = start(repository, "--token-file", tmp_path / "users", "--token-for-probes", ready=False)
    s.wait(lambda: s.get("/")[0] == 200, "no page")
    assert s.get("/v2/models/stats")[0] == 401 and s.get("/v2/models/simple/report")[0] == 401


def dom(server, fragment="", milliseconds=6000):
    """The page as Chromium has it after some virtual time."""
    done = subprocess.run([CHROMIUM, "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--enable-logging=stderr", f"--virtual-time-budget={milliseconds}",
                           "--dump-dom", f"http://{server.http}/{fragment}"], capture_output=True, text=True, timeout=120)
    # Refusals of the policy and exceptions of the script end there.
    assert not re.search(r"CONSOLE.*(Content Security Policy|Uncaught|Error:)", done.stderr), done.stderr
    return done.stdout


def text_of(page, pattern):
    found = re.search(pattern, page, re.S)
    assert found, page[-6000:]
    return re.sub("<[^>]*>", " ", found[0])


@pytest.mark.skipif(not CHROMIUM, reason="there is no Chromium (apt-get install chromium)")
def test_chromium_shows_models_and_figures(repository, start):
    s = start(repository, ready=False)
    s.wait(lambda: json.loads(s.post("/v2/repository/index")[2])[-1].get("state") == "READY", "models are not ready")
    for _ in range(50):
        assert s.post(INFER, body())[0] == 200
    s.post(INFER, body().replace("INT32", "FP32"))
    page = dom(s, "#simple/1")
    rows = {key: text_of(page, rf'<tr data-key="{re.escape(key)}".*?</tr>') for key in ("simple/1", "scale/3", "broken/")}
    assert "ready" in rows["simple/1"] and rows["simple/1"].split()[-1] == "1" and "ready" in rows["scale/3"]
    assert "unavailable" in rows["broken/"] and "not a Carnot engine" in rows["broken/"]
    assert "not ready" in text_of(page, '<strong id="health".*?</strong>')
    detail = text_of(page, '<section id="detail".*?</section>')
    assert "INPUT0" in detail and "INT32" in detail and "Runs by batch size" in detail and "1 command" in detail and "max_batch_size" in detail
    assert re.search(r"≤ [\d.]+ (µs|ms)\s+\d+", detail)
    assert 'role="alert" hidden' in page or re.search(r'id="problem"[^>]*hidden', page)
    tiles = text_of(page, '<dl id="tiles".*?</dl>')
    assert "Inferences per second" in tiles and "Latency, p99" in tiles and "1 in all" in tiles


@pytest.mark.skipif(not CHROMIUM, reason="there is no Chromium (apt-get install chromium)")
def test_chromium_asks_for_a_token(repository, start, tmp_path):
    (tmp_path / "users").write_text("a-token-for-the-page")
    s = start(repository, "--token-file", tmp_path / "users", ready=False)
    page = dom(s)
    assert not re.search(r'<form id="ask"[^>]*hidden', page) and "simple" not in text_of(page, '<table id="models".*?</table>')
