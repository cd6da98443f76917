# SPDX-License-Identifier: Apache-2.0
"""More than 400 requests, good and bad, by HTTP and gRPC: what real Triton 2.51 answered (recorded.json) is what we answer."""
import json
import pathlib
import sys

import pytest

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parents[1] / "triton")]
import differences  # noqa: E402
import play  # noqa: E402
import record  # noqa: E402
import real_triton  # noqa: E402
import script  # noqa: E402

RECORDED = json.loads((HERE / "recorded.json").read_text())


@pytest.fixture(scope="module")
def answers(tmp_path_factory):
    s = record.support()
    repository = tmp_path_factory.mktemp("conversation") / "repository"
    script.make_repository(repository, s.write_model, s.write_simple, s.write_scale)
    options = [word for model in script.INITIAL for word in ("--load-model", model)]
    server = s.Server(repository, "--allow-client-shm", "true", "--model-control", "explicit", *options, cache=tmp_path_factory.mktemp("engines"))
    played = play.play(server, script.STEPS)
    assert server.stop() == 0
    return json.loads(json.dumps(played))


def compare(theirs, ours):
    """{part: (theirs, ours)} of what differs."""
    theirs, ours = differences.same_terms(theirs, ours)
    return {key: (theirs.get(key), ours.get(key)) for key in {*theirs, *ours} if theirs.get(key) != ours.get(key)}


def problems(recorded, played):
    found = []
    for entry, ours in zip(recorded, played, strict=True):
        step, differs = entry["step"], compare(entry["answer"], ours)
        listed = differences.difference_of(step)
        if listed is None:
            found += [f"{step}: {part}: Triton {theirs!r}, here {here!r}" for part, (theirs, here) in differs.items()]
            continue
        if not differs:
            found.append(f"{step}: answered alike, but listed: {listed.why}")
        if differs.get("status") != listed.status:
            found.append(f"{step}: status {differs.get('status')}, listed {listed.status}")
        found += [f"{step}: {part}: Triton {theirs!r}, here {here!r}" for part, (theirs, here) in differs.items() if part not in ("status", *listed.parts)]
    return found


def test_the_recording_has_every_step():
    assert [entry["step"] for entry in RECORDED] == [step["name"] for step in script.STEPS]
    assert len(RECORDED) >= 400


def test_answers_are_those_of_triton(answers):
    found = problems(RECORDED, answers)
    assert not found, "\n".join(found)


def test_every_listed_difference_names_steps():
    names = [step["name"] for step in script.STEPS]
    for entry in differences.DIFFERENCES:
        for pattern in entry.steps:
            assert any(differences.fnmatch.fnmatchcase(name, pattern) for name in names), pattern


def test_the_comparison_sees_a_difference(answers):
    """It must be able to fail: one wrong status, one wrong byte, one wrong dtype, one difference that went away."""
    names = [step["name"] for step in script.STEPS]
    for step, change in (("json", lambda a: a.update(status=201)), ("binary and back", lambda a: a.update(binary="B" + a["binary"][1:])),
                         ("json id", lambda a: a["json"]["outputs"][0].update(datatype="INT64")), ("rpc infer", lambda a: a["message"].update(model_version="2"))):
        wrong = json.loads(json.dumps(answers))
        change(wrong[names.index(step)])
        assert len(problems(RECORDED, wrong)) == 1, step
    alike = json.loads(json.dumps(answers))
    alike[names.index("json nested oddly")] = RECORDED[names.index("json nested oddly")]["answer"]
    assert len(problems(RECORDED, alike)) == 2


@pytest.mark.skipif(not real_triton.PROGRAM, reason="CARNOT_TRITON does not name a tritonserver")
def test_the_recording_is_that_of_the_server():
    # Triton ends unloading after its answer: for a moment the index still shows it.
    passing = ("index of a repository", "rpc index all")
    for entry, answer in zip(RECORDED, json.loads(json.dumps(record.record())), strict=True):
        assert entry["step"] in passing or answer == entry["answer"], entry["step"]
