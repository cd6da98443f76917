# SPDX-License-Identifier: Apache-2.0
"""Loop and Scan, against the reference evaluator of the onnx package."""
import numpy as np
import onnx.parser
import pytest
from onnx.reference import ReferenceEvaluator

import carnot

HEAD = '<ir_version: 8, opset_import: ["" : 16]>\n'

# y = x + 1 + 2 + ..., its sums stacked; `c` is a value of the outer graph.
SUMS = HEAD + """
g (int64 n, float[k] x, float[k] c) => (float[k] y, float[m, k] s) {
  yes = Constant <value = bool {1}> ()
  y, s = Loop <body = b (int64 i, bool go, float[k] v) => (bool go_on, float[k] w, float[k] t) {
    go_on = Identity (go)
    step = CastLike (i, c)
    u = Add (v, step)
    w = Add (u, c)
    t = Mul (w, c)
  }> (n, yes, x)
}"""

# Doubles x until its sum passes a limit; no trip count.
WHILE = HEAD + """
g (float[k] x, float limit) => (float[k] y, float[m] sums) {
  yes = Constant <value = bool {1}> ()
  y, sums = Loop <body = b (int64 i, bool go, float[k] v) => (bool go_on, float[k] w, float sum) {
    w = Add (v, v)
    sum = ReduceSum <keepdims = 0> (w)
    go_on = Less (sum, limit)
  }> (, yes, x)
}"""

# The carried value grows by one element a run.
GROWS = HEAD + """
g (int64 n, float[k] x) => (float[m] y, float[l] lengths) {
  yes = Constant <value = bool {1}> ()
  y, lengths = Loop <body = b (int64 i, bool go, float[k] v) => (bool go_on, float[m] w, float length) {
    go_on = Identity (go)
    one = Constant <value = float[1] {1.0}> ()
    w = Concat <axis = 0> (v, one)
    size = Size (w)
    length = Cast <to = 1> (size)
  }> (n, yes, x)
}"""

# The carried value begins as a number and becomes a matrix; the body does not read it.
WRITTEN = HEAD + """
g (int64 n, float[k] x) => (float[a, b] y, float[m, k] s) {
  yes = Constant <value = bool {1}> ()
  nothing = Constant <value = float {7.0}> ()
  y, s = Loop <body = b (int64 i, bool go, float v) => (bool go_on, float[a, b] w, float[k] t) {
    go_on = Identity (go)
    axes = Constant <value = int64[1] {0}> ()
    step = CastLike (i, x)
    t = Add (x, step)
    w = Unsqueeze (t, axes)
  }> (n, yes, nothing)
}"""

# A loop in a loop; the inner one uses values of both outer graphs.
NESTED = HEAD + """
g (int64 n, float[k] x) => (float[k] y) {
  yes = Constant <value = bool {1}> ()
  y = Loop <body = outer (int64 i, bool go, float[k] v) => (bool go_on, float[k] w) {
    go_on = Identity (go)
    w = Loop <body = inner (int64 j, bool inner_go, float[k] a) => (bool inner_go_on, float[k] b) {
      inner_go_on = Identity (inner_go)
      half = Constant <value = float {0.5}> ()
      d = Mul (a, half)
      b = Add (d, x)
    }> (i, go, v)
  }> (n, yes, x)
}"""

# Running sums along axis 1, the results stacked along axis 1.
SCAN = HEAD + """
g (float[r] start, float[r, t] x, float scale) => (float[r] last, float[r, t] sums) {
  last, sums = Scan <num_scan_inputs = 1, scan_input_axes = [1], scan_output_axes = [-1], BACK
                     body = b (float[r] state, float[r] row) => (float[r] next, float[r] out) {
    scaled = Mul (row, scale)
    next = Add (state, scaled)
    out = Identity (next)
  }> (start, x)
}"""


def check(text, *inputs):
    model = onnx.parser.parse_model(text)
    expected = ReferenceEvaluator(model).run(None, dict(zip([i.name for i in model.graph.input], inputs)))
    got = carnot.backend.prepare(model).run(list(inputs))
    for a, b, info in zip(got, expected, model.graph.output, strict=True):
        b = np.asarray(b)
        if b.ndim > len(info.type.tensor_type.shape.dim):  # it stacks numbers as vectors of one
            b = b[..., 0]
        assert np.asarray(a).shape == b.shape
        np.testing.assert_allclose(a, b, rtol=1e-6)


def f32(*shape):
    return np.random.default_rng(sum(shape)).standard_normal(shape).astype(np.float32)


@pytest.mark.parametrize("runs", [1, 2, 7])
@pytest.mark.parametrize("length", [1, 5])
def test_loop_stacks_results(runs, length):
    check(SUMS, np.array(runs), f32(length), f32(length) + 3)


@pytest.mark.parametrize("runs", [0, -3])
def test_loop_without_a_run(runs):
    y, s = carnot.backend.prepare(onnx.parser.parse_model(SUMS)).run([np.array(runs), f32(3), f32(3)])
    np.testing.assert_array_equal(y, f32(3))
    assert s.shape == (0, 3)


def test_loop_ends_by_its_condition():
    check(WHILE, np.array([1, 2, 3], np.float32), np.float32(100))


def test_a_carried_value_may_grow():
    check(GROWS, np.array(4), f32(2))
    check(GROWS, np.array(1), f32(1))


def test_a_carried_value_that_is_only_written_may_gain_axes():
    check(WRITTEN, np.array(1), f32(3))
    check(WRITTEN, np.array(4), f32(5))
    y, s = carnot.backend.prepare(onnx.parser.parse_model(WRITTEN)).run([np.array(0), f32(3)])
    assert np.asarray(y).tolist() == [[7]] and s.shape == (0, 3)


# Begins as a number, goes on as a vector of one.
COUNTS = HEAD + """
g (int64 n, float[1] x) => (float[1] y) {
  yes = Constant <value = bool {1}> ()
  nothing = Constant <value = float {7.0}> ()
  y = Loop <body = b (int64 i, bool go, float v) => (bool go_on, float[1] w) {
    go_on = Identity (go)
    w = Add (v, x)
  }> (n, yes, nothing)
}"""


def test_a_carried_number_may_become_a_vector_of_one():
    check(COUNTS, np.array(3), f32(1))


def test_loop_in_a_loop():
    check(NESTED, np.array(3), f32(4))


@pytest.mark.parametrize("back", ["", "scan_input_directions = [1],", "scan_output_directions = [1],"])
def test_scan(back):
    # The reference evaluator knows axis 0 alone, so the sums are done by hand.
    start, x, scale = f32(3), f32(3, 6), np.float32(2)
    last, sums = carnot.backend.prepare(onnx.parser.parse_model(SCAN.replace("BACK", back))).run([start, x, scale])
    expected = start[:, None] + 2 * np.cumsum(x[:, ::-1] if "input_dir" in back else x, axis=1)
    np.testing.assert_allclose(last, expected[:, -1], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(sums, expected[:, ::-1] if "output_dir" in back else expected, rtol=1e-5, atol=1e-6)


def test_scan_of_nothing():
    last, sums = carnot.backend.prepare(onnx.parser.parse_model(SCAN.replace("BACK", ""))).run([f32(3), f32(3, 0), np.float32(2)])
    np.testing.assert_array_equal(last, f32(3))
    assert sums.shape == (3, 0)


def test_a_stacked_result_keeps_its_shape():
    text = GROWS.replace("float length)", "float[m] w2)").replace("size = Size (w)", "w2 = Identity (w)").replace("length = Cast <to = 1> (size)", "")
    text = text.replace("float[l] lengths", "float[l, m] lengths")
    with pytest.raises(Exception, match="in run 1 of the body"):
        carnot.backend.prepare(onnx.parser.parse_model(text)).run([np.array(3), f32(2)])


# The size of a part serves to expand another value and for nothing else.
SIZED = HEAD + """
g (float[a, 3] x, int64[1] from, int64[1] to) => (float[b, 3] y) {
  part = Slice (x, from, to)
  size = Shape (part)
  c = Constant <value = float[1, 3] {1.0, 2.0, 3.0}> ()
  y = Expand (c, size)
}"""


def test_a_size_that_the_run_tells():
    check(SIZED, f32(7, 3), np.array([2]), np.array([6]))
    check(SIZED, f32(7, 3), np.array([2]), np.array([2]))


# A number in one branch, a vector of one in the other.
RANKS = HEAD + """
g (bool which, float[1] v, float[k] x) => (float[k] y) {
  a = If (which) <then_branch = yes () => (float p) { p = Constant <value = float {2.5}> () },
                  else_branch = no () => (float[1] q) { q = Add (v, v) }>
  y = Mul (x, a)
}"""


@pytest.mark.parametrize("which", [True, False])
def test_one_element_of_either_rank(which):
    check(RANKS, np.array(which), np.array([4], np.float32), f32(3))
