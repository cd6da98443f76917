# SPDX-License-Identifier: Apache-2.0
"""The Python module: layer API, engines, sessions, errors, and the backend interface."""
import numpy as np
import pytest

import carnot


def dense(batch="batch"):
    net = carnot.Network()
    x = net.input("x", "f32", [batch, 3])
    net.output(net.relu(net.linear(x, np.array([[1, 0], [0, 1], [1, 1]], np.float32), np.array([-1, 0.5], np.float32), name="fc")), "y")
    net.metadata("made by", "hand")
    return net


def test_a_network_is_built_saved_loaded_and_run(tmp_path):
    engine = carnot.build(dense())
    x = np.arange(6, dtype=np.float32).reshape(2, 3)
    expected = np.maximum(x @ np.array([[1, 0], [0, 1], [1, 1]], np.float32) + np.array([-1, 0.5], np.float32), 0)
    np.testing.assert_allclose(engine.session(threads=2).run({"x": x})["y"], expected, rtol=1e-6)
    engine.save(tmp_path / "dense.engine")
    again = carnot.load(tmp_path / "dense.engine")
    np.testing.assert_array_equal(again.run({"x": x})["y"], engine.run({"x": x})["y"])
    assert [(t.name, t.dtype, t.shape) for t in again.inputs] == [("x", np.float32, ("batch", 3))]
    assert again.outputs[0].shape == ("batch", 2)
    assert again.metadata["made by"] == "hand" and "other" not in again.metadata


def test_one_session_takes_any_batch():
    session = carnot.build(dense()).session(threads=1)
    for batch in (1, 5, 2, 0):
        assert session.run({"x": np.ones((batch, 3), np.float32)})["y"].shape == (batch, 2)


def test_results_are_the_callers_own():
    session = carnot.build(dense()).session()
    first = session.run({"x": np.ones((1, 3), np.float32)})["y"]
    kept = first.copy()
    session.run({"x": np.full((1, 3), 7, np.float32)})
    np.testing.assert_array_equal(first, kept)


def test_inputs_need_not_be_dense_arrays():
    session = carnot.build(dense()).session()
    x = np.arange(12, dtype=np.float32).reshape(2, 6)
    np.testing.assert_array_equal(session.run({"x": x[:, ::2]})["y"], session.run({"x": x[:, ::2].copy()})["y"])

    class Wrapped:
        def __dlpack__(self, **options):
            return x[:, :3].__dlpack__()

        def __dlpack_device__(self):
            return x.__dlpack_device__()

    np.testing.assert_array_equal(session.run({"x": Wrapped()})["y"], session.run({"x": x[:, :3]})["y"])


@pytest.mark.parametrize("feed, part", [
    ({}, "input 'x' is missing"),
    ({"x": np.ones((1, 3), np.float64)}, "f64"),
    ({"x": np.ones((1, 4), np.float32)}, "x"),
    ({"x": np.ones((1, 3), np.float32), "z": np.ones(1)}, "z"),
    ({"x": np.array(["a"])}, "not supported"),
])
def test_wrong_inputs_are_named(feed, part):
    session = carnot.build(dense()).session()
    with pytest.raises(carnot.Error) as error:
        session.run(feed)
    assert part in str(error.value)


def test_a_layer_that_does_not_fit_is_named():
    net = carnot.Network()
    x = net.input("x", "f32", ["batch", 3])
    with pytest.raises(carnot.Error, match="'head'"):
        net.linear(x, np.ones((4, 2), np.float32), name="head")
    with pytest.raises(carnot.Error, match="axes"):
        net.softmax(x, axes=1)
    with pytest.raises(AttributeError, match="no operator"):
        net.sofmax(x)
    with pytest.raises(carnot.Error, match="no outputs"):
        carnot.build(net)


def test_missing_and_foreign_files(tmp_path):
    with pytest.raises(carnot.Error, match="nowhere.onnx"):
        carnot.build(tmp_path / "nowhere.onnx")
    (tmp_path / "text.onnx").write_text("hello, this is no model at all")
    with pytest.raises(carnot.Error, match="text.onnx"):
        carnot.build(tmp_path / "text.onnx")
    (tmp_path / "text.engine").write_text("hello")
    with pytest.raises(carnot.Error, match="text.engine"):
        carnot.load(tmp_path / "text.engine")


def test_a_model_file_goes_where_an_engine_goes(tmp_path, monkeypatch):
    onnx = pytest.importorskip("onnx")
    from onnx import TensorProto, helper

    def write(op):
        graph = helper.make_graph([helper.make_node(op, ["x"], ["y"])], "g", [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n"])],
                                  [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n"])])
        onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), tmp_path / "m.onnx")

    monkeypatch.setenv("CARNOT_CACHE_DIR", str(tmp_path / "cache"))
    x = np.float32([-1, 2])
    write("Relu")
    for _ in range(2):
        np.testing.assert_array_equal(carnot.load(tmp_path / "m.onnx").run({"x": x})["y"], [0, 2])
        assert len(list((tmp_path / "cache").iterdir())) == 1
    write("Abs")
    import os
    os.utime(tmp_path / "m.onnx", (1, 1))
    np.testing.assert_array_equal(carnot.load(tmp_path / "m.onnx").run({"x": x})["y"], [1, 2])


def test_progress_is_told_and_can_cancel():
    seen = []
    carnot.build(dense(), progress=lambda phase, done: seen.append((phase, done)))
    assert seen and all(0 <= done <= 1 for _, done in seen)
    with pytest.raises(carnot.Error):
        carnot.build(dense(), progress=lambda phase, done: False)

    def broken(phase, done):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        carnot.build(dense(), progress=broken)


def test_backend_interface():
    onnx = pytest.importorskip("onnx")
    from onnx import TensorProto, helper
    graph = helper.make_graph([helper.make_node("Add", ["a", "b"], ["c"])], "g",
                              [helper.make_tensor_value_info(n, TensorProto.FLOAT, [2]) for n in "ab"],
                              [helper.make_tensor_value_info("c", TensorProto.FLOAT, [2])])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    a, b = np.float32([1, 2]), np.float32([3, 4])
    assert carnot.backend.supports_device("CPU") and not carnot.backend.supports_device("TPU")
    np.testing.assert_array_equal(carnot.backend.prepare(model).run([a, b])[0], a + b)
    np.testing.assert_array_equal(carnot.backend.run_model(model, [a, b])[0], a + b)
    np.testing.assert_array_equal(carnot.backend.run_node(onnx.helper.make_node("Mul", ["a", "b"], ["c"]), [a, b])[0], a * b)
