# SPDX-License-Identifier: Apache-2.0
"""What the state of a recurrent layer says of its batch, on models of open batch."""
import numpy as np
import onnx.parser
import pytest

import carnot

# The last state of one sequence as a vector: without axes, Squeeze takes every axis of size 1, also the batch, which only h says.
SQUEEZED = """<ir_version: 8, opset_import: ["" : 16]>
g (float[t, n, 3] x, float[1, 1, 4] h) => (float[k] y)
<float[1, 12, 3] w = {%s}, float[1, 12, 4] r = {%s}> {
  all, last = GRU <hidden_size = 4, OPTIONS> (x, w, r, , , h)
  y = Squeeze (last)
}""" % (", ".join(["0.25"] * 36), ", ".join(["-0.5"] * 48))


@pytest.mark.parametrize("options", ["linear_before_reset = 1", "clip = 9.0"])  # a fast kernel, the reference
def test_the_state_tells_the_batch(options):
    session = carnot.build(onnx.parser.parse_model(SQUEEZED.replace("OPTIONS", options))).session()
    x, h = np.ones((2, 1, 3), np.float32), np.zeros((1, 1, 4), np.float32)
    assert session.run({"x": x, "h": h})["y"].shape == (4,)
    with pytest.raises(carnot.Error, match="batch|fit|elements|shape"):
        session.run({"x": np.ones((2, 3, 3), np.float32), "h": h})
