# SPDX-License-Identifier: Apache-2.0
"""Where `carnot serve` means to answer other than Triton 2.51 does, and why. Whatever is not listed here must be the same.

Some differences are everywhere; `same_terms` takes them out of both answers before they are compared:
  500, INTERNAL  -> 400, INVALID_ARGUMENT, where we answer so: a client's mistake is not the server's failure.
  text/plain     -> application/json: what is JSON is called so.
  empty bodies of health and ready -> {"live":true} and the like: the KServe SDK parses them.
  FP32 in JSON   -> the shortest text with the same value: compared as FP32.
  outputs        -> compared by name: Triton gives them in the order of a set, we give them as they were asked for.

The others are listed by step. `status` is (theirs, ours) where that differs; nothing but the keys in `parts` may differ else.
"""
import base64
import fnmatch
from typing import NamedTuple

import numpy as np


class Difference(NamedTuple):
    steps: list
    why: str
    status: tuple = None
    parts: tuple = ("error",)


WHOLE = ("error", "json", "message", "messages", "content-type", "content-encoding")

DIFFERENCES = [
    # Texts alone.
    Difference(["data too few", "data too many", "data none", "data text*", "data fractions", "data bools", "data null", "data object", "data one number", "datatype 'BYTES'", "deep json", "input is a number", "FP16 answer in JSON", "index ready is a text", "json parameters is a list", "logging wrong type",
                "load with config as object", "malformed [234]", "binary too long"], "the text says what or where more exactly"),
    Difference(["metadata scale version 9*", "ready scale version 9*", "rpc * scale x", "rpc infer version no number"], "no 'details: stol': the model instead"),
    Difference(["shape 2x2", "shape 4", "shape none", "shape 1x16x1", "shape id in text", "shapes differ in batch", "rpc shape [[]2, 2[]]", "rpc shape [[][]]"],
               "the first input that is wrong is named; Triton looks at them in the order of a set"),
    Difference(["shape batch 0", "rpc shape [[]0, 16[]]"], "the batch size is what is wrong; Triton expects '64 bytes' of it"),
    Difference(["rpc shape [[]-1, 16[]]", "rpc shape [[]4611686018427387904, 4[]]", "shape huge"], "negative and impossible sizes are refused before they are calculated with"),
    Difference(["three inputs", "rpc three inputs"], "the input that is too much is named"),
    Difference(["raw too *", "raw without a body", "raw open dim odd"], "the input has its own name, not 'raw_input'"),
    Difference(["empty body", "malformed 0", "gzip that is none", "raw deflate", "header length 'abc'", "header length ''", "header length '1e3'", "header length '-1'", "gzip cut short"],
               "a body that is no JSON, or cannot be unpacked, and a header that is no number are called that; Triton takes them for raw tensors, or the number's first digits for all"),
    Difference(["rpc datatype ''", "rpc datatype 'INT33'", "rpc types [BFIU]*"], "what is wrong is the datatype, or that FP16 must come raw"),
    Difference(["rpc priority is a text", "rpc classification is a text"], "the text names the types that are accepted"),
    Difference(["load broken", "load misfit", "load empty", "load garbled", "load renamed", "load with a bad configuration", "load with unknown parameter", "load with file and no config", "load ..", "load %2e%2e", "rpc load broken"],
               "the text says what is wrong with the model; Triton's log does"),
    Difference(["region register of a key that is not there", "rpc region register"], "the client's name of the region, not the key of the memory"),
    # Outcomes.
    Difference(["server", "rpc ServerMetadata"], "another version, and only the extensions that work", None, ("json", "message")),
    Difference(["server slash", "metadata slash", "metadata escaped"], "a final slash and percent escapes are those of any web server", (404, 200), WHOLE),
    Difference(["root"], "a page that shows the server", (404, 200), (*WHOLE, "text")),
    Difference(["HEAD live"], "HEAD is GET without the body", (405, 200), WHOLE),
    Difference(["json nested oddly"], "nested lists must have the tensor's shape: others are a mistake of the client's", (200, 400), WHOLE),
    Difference(["data too large"], "numbers that do not fit are refused; Triton cuts them off", (200, 400), WHOLE),
    Difference(["json binary_data wins"], "binary_data_output holds for the outputs that say nothing of their own, as its description says", None, WHOLE + ("inference-header-content-length",)),
    Difference(["accept [*]"], "'*' accepts gzip", None, ("content-encoding",)),
    Difference(["region without a size"], "the request is incomplete, whatever regions there are", (404, 400), WHOLE),
    Difference(["load zz"], "what is not there is not found", (400, 404), ()),
    Difference(["rpc load unknown"], "likewise", ("INVALID_ARGUMENT", "NOT_FOUND"), ()),
    Difference(["index of a repository", "rpc index all"], "models that could not be loaded give their reason, and folders that hold none are named", None, ("json", "message")),
    Difference(["logging", "logging set", "logging set back"], "the log has dates and time zones unless it is told otherwise", None, ("json",)),
    Difference(["logging format unknown"], "a client's mistake", (503, 400), ("error",)),
    Difference(["logging unknown"], "a setting that does not exist is refused, not ignored", (200, 400), WHOLE),
    Difference(["rpc logging unknown"], "likewise", ("OK", "INVALID_ARGUMENT"), WHOLE),
    Difference(["stats identity", "rpc statistics"], "requests that are refused for their form count as failures", None, ("json", "message")),
    Difference(["rpc three raw"], "raw contents without an input are a mistake", ("OK", "INVALID_ARGUMENT"), WHOLE),
    Difference(["stream with a wrong shape"], "the first input that is wrong is named", None, ("messages",)),
]


def difference_of(step):
    """The entry for a step: the last that names it."""
    for entry in reversed(DIFFERENCES):
        if any(fnmatch.fnmatchcase(step, pattern) for pattern in entry.steps):
            return entry
    return None


def by_name(answer):
    """The outputs of an answer as {name: output}, each with its own bytes; None if it has none."""
    body = answer.get("json") if isinstance(answer.get("json"), dict) else answer.get("message", {})
    outputs = body.get("outputs")
    if outputs is None or "model_version" not in body:
        return None
    named, tail = {}, base64.b64decode(answer.get("binary", ""))
    raw = body.get("raw_output_contents", [])
    for i, output in enumerate(outputs):
        output = dict(output)
        if size := output.get("parameters", {}).get("binary_data_size"):
            output["bytes"], tail = tail[:size], tail[size:]
        if raw:
            output["bytes"] = raw[i]
        if output.get("datatype") in ("FP32", "FP64") and "data" in output:
            output["data"] = np.array(output["data"], {"FP32": np.float32, "FP64": np.float64}[output["datatype"]]).tobytes()
        named[output["name"]] = output
    assert len(named) == len(outputs) and not tail
    return named


def same_terms(theirs, ours):
    """Both answers without the differences that are everywhere."""
    theirs, ours = dict(theirs), dict(ours)
    for before, after in ((500, 400), ("INTERNAL", "INVALID_ARGUMENT"), (500, 404), ("INTERNAL", "NOT_FOUND")):
        if theirs.get("status") == before and ours.get("status") == after:
            theirs["status"] = {404: 400, "NOT_FOUND": "INVALID_ARGUMENT"}.get(after, after)
    if theirs.get("content-type") == "text/plain" and ours.get("content-type") == "application/json":
        theirs["content-type"] = "application/json"
        if theirs["status"] == 200 and "json" not in theirs and {"live", "ready"} & set(ours.get("json", {})):
            del ours["json"]
    if isinstance(theirs.get("json"), dict) and isinstance(ours.get("json"), dict):
        for answer in (theirs, ours):
            if set(answer["json"]) == {"error"}:
                answer["error"] = answer.pop("json")["error"]
    for answer in (theirs, ours):
        if (outputs := by_name(answer)) is not None:
            part = "json" if "json" in answer else "message"
            answer[part] = {**answer[part], "outputs": outputs, "raw_output_contents": []}
            answer.pop("binary", None)
            if "inference-header-content-length" in answer:  # the size of texts that may differ in their order
                answer["inference-header-content-length"] = "there"
    return theirs, ours
