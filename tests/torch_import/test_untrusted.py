"""A file decides neither code nor memory nor time, and plain data beside weights is no code."""

from __future__ import annotations

import argparse
import json
import pathlib
import zipfile
from collections import Counter, OrderedDict, defaultdict

import numpy as np
import pytest

from s2bnn_tf.errors import CheckpointError, ModelError
from s2bnn_tf.torch_import import import_torch
from s2bnn_tf.torch_import.assembly import recognize
from s2bnn_tf.torch_import.files import read_checkpoint

torch = pytest.importorskip("torch")

each_format = pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])


def plain_data() -> dict[str, object]:
    return {
        "best": np.float64(0.5),
        "done": np.bool_(True),
        "history": np.arange(6.0).reshape(2, 3).T,
        "names": np.array(["cat", "dog"]),
        "rng": np.random.RandomState(0).get_state(),
        "rng2": np.random.RandomState(0).get_state(legacy=False),
        "dtype": np.dtype("float32"),
        "args": argparse.Namespace(lr=0.1, momentum=np.float32(0.9), out=pathlib.Path("runs")),
        "paths": [pathlib.PurePosixPath("/data"), pathlib.PureWindowsPath("c:/data")],
        "log": defaultdict(list, {"loss": [1.0, 2.0]}),
        "counts": defaultdict(int),
        "ordered": OrderedDict(a=Counter(b=1)),
        "torch_version": torch.__version__,
    }


@each_format
def test_plain_data_beside_the_weights_is_no_code(zipped, save, resnet):
    content = {"state_dict": resnet, **plain_data()}
    path = save(content, _use_new_zipfile_serialization=zipped)
    checkpoint = read_checkpoint(path)
    assert checkpoint.beside == list(plain_data())
    assert checkpoint.tensors.keys() == resnet.keys()


def test_the_names_that_older_numpy_and_newer_python_write(save, resnet):
    path = save({"state_dict": resnet, **plain_data()})
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    renamed = 0
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in members.items():
            if name.endswith("data.pkl"):
                renamed = data.count(b"cnumpy._core.multiarray\n") + data.count(b"cpathlib\n")
                new = data.replace(b"cnumpy._core.multiarray\n", b"cnumpy.core.multiarray\n")
                other = data.replace(b"cnumpy.core.multiarray\n", b"cnumpy._core.multiarray\n")
                data = (new if new != data else other).replace(b"cpathlib\n", b"cpathlib._local\n")
            archive.writestr(name, data)
    assert renamed > 1
    assert read_checkpoint(path).beside == list(plain_data())


@each_format
def test_weights_that_are_numpy_arrays(zipped, save, resnet):
    arrays = {name: value.numpy() for name, value in resnet.items()}
    arrays["conv1.weight"] = np.asfortranarray(arrays["conv1.weight"].astype(">f8"))
    path = save(arrays, _use_new_zipfile_serialization=zipped)
    for name, array in read_checkpoint(path).tensors.items():
        np.testing.assert_array_equal(array, arrays[name])


class Touch:
    """Unpickled, it creates a file."""

    def __init__(self, path: pathlib.Path):
        self.path = path

    def __reduce__(self):
        return pathlib.Path.touch, (self.path,)


class Evaluate(Touch):
    def __reduce__(self):
        return eval, (f"__import__('os').mkdir({str(self.path)!r})",)


class Factory(Touch):
    """A defaultdict whose factory is code."""

    def __reduce__(self):
        return defaultdict, (getattr, (Touch(self.path),))


class Array(Touch):
    """An array of objects, one of which is code."""

    def __reduce__(self):
        return np.array([Touch(self.path)], object).__reduce__()


@each_format
@pytest.mark.parametrize("kind", [Touch, Evaluate, Factory, Array])
def test_code_among_plain_data_is_refused(kind, zipped, save, resnet, tmp_path):
    sign = tmp_path / "created"
    content = {"state_dict": resnet, **plain_data(), "extra": kind(sign)}
    path = save(content, _use_new_zipfile_serialization=zipped)
    with pytest.raises(CheckpointError, match="was not opened: it wants to execute code"):
        import_torch(path, tmp_path / "run")
    assert not sign.exists()
    if kind in (Touch, Evaluate):  # opened carelessly, it does what it says
        torch.load(path, weights_only=False)
        assert sign.exists()


def spoiled(resnet, name: str, value: float):
    tensor = resnet[name].clone()
    tensor.view(-1)[-1] = value
    return {**resnet, name: tensor}


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_weight_that_is_not_finite_is_refused_by_its_name(value, save, resnet, tmp_path):
    path = save(spoiled(resnet, "layer2.0.bn1.bias", value))
    with pytest.raises(ModelError, match="not finite numbers for .*: layer2.0.bn1.bias"):
        import_torch(path, tmp_path / "run", image_size=32)
    assert not (tmp_path / "run").exists()


def test_a_number_beyond_float32_is_not_finite(save, resnet, tmp_path):
    large = {**resnet, "fc.bias": resnet["fc.bias"].double() * 1e300}
    with pytest.raises(ModelError, match="not finite numbers for .*: fc.bias"):
        import_torch(save(large), tmp_path / "run", image_size=32)


def odd_tensors():
    eye = torch.eye(3)
    return {
        "sparse": eye.to_sparse(),
        "sparse by rows": eye.to_sparse_csr(),
        "no values": torch.zeros(3, 3, device="meta"),
        "nested": torch.nested.nested_tensor([torch.ones(2), torch.ones(3)]),
    }


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("sparse", "it is sparse"),
        ("sparse by rows", "it is sparse"),
        ("no values", "it has no values"),
        ("nested", "it is nested"),
    ],
)
def test_odd_tensors_are_refused_by_name(kind, words, save, resnet):
    path = save({**resnet, "conv1.weight": odd_tensors()[kind]})
    with pytest.raises(CheckpointError, match=rf"conv1.weight cannot be read \({words}"):
        read_checkpoint(path)


@pytest.mark.filterwarnings("ignore")
def test_a_quantized_tensor_is_refused_by_name(save, resnet):
    quantized = torch.quantize_per_tensor(resnet["conv1.weight"], 0.1, 0, torch.qint8)
    with pytest.raises(CheckpointError, match=r"conv1.weight cannot be read \(it is quantized"):
        read_checkpoint(save({**resnet, "conv1.weight": quantized}))


@pytest.mark.parametrize(
    ("name", "shape", "words"),
    [
        ("conv1.weight", (), "conv1.weight is a scalar and not the kernel of a convolution"),
        ("layer1.0.conv1.weight", (), "layer1.0.conv1.weight is a scalar"),
        ("layer1.0.conv1.weight", (2, 2), "layer1.0.conv1.weight is 2x2 and not the kernel"),
        ("fc.weight", (0, 16), "fc.weight is 0x16, and 16 features come in"),
        ("fc.weight", (50_000, 1), "fc.weight is 50000x1, and 16 features come in"),
    ],
)
def test_shapes_that_no_network_has(name, shape, words, save, resnet):
    path = save({**resnet, name: torch.zeros(shape)})
    with pytest.raises(ModelError, match=words):
        recognize(read_checkpoint(path).tensors)


def test_no_memory_is_taken_for_a_width_that_a_file_claims(save, resnet):
    wide = {"conv1.weight": torch.zeros(4096, 1, 7, 7)}
    wide["layer1.0.conv1.weight"] = torch.zeros(4096, 1, 1, 1)
    with pytest.raises(ModelError, match="has 4096 channels; those that can be imported have 1 to"):
        recognize(read_checkpoint(save({**resnet, **wide})).tensors)


@pytest.mark.parametrize(
    "name", ["²", "².conv1.weight", "layer1.².conv1.weight", "fc.².weight", "fc.1².weight"]
)
def test_a_digit_that_is_no_number(name, save, resnet, tmp_path):
    with pytest.raises(ModelError, match="has more than .*²|²"):
        import_torch(save({**resnet, name: torch.ones(3, 3)}), tmp_path / "run", image_size=32)


def test_keys_that_are_no_names(save, resnet):
    odd = {b"bytes": torch.ones(1), 3: torch.ones(1), None: 1, (1, 2): 2}
    checkpoint = read_checkpoint(save({**resnet, **odd}))
    assert checkpoint.tensors.keys() == resnet.keys()
    assert checkpoint.beside == ["a bytes", "a int", "a NoneType", "a tuple"]


def test_attributes_of_a_dictionary_do_not_replace_its_methods(save, resnet):
    resnet.__dict__.update(get=1, keys=2, values=3, __len__=4)
    path = save(resnet)
    assert torch.load(path, weights_only=True).get == 1
    assert len(read_checkpoint(path).tensors) == len(resnet)


@each_format
def test_a_dictionary_within_itself(zipped, save):
    content: dict[str, object] = {"epoch": 1}
    content["state_dict"] = content
    path = save(content, _use_new_zipfile_serialization=zipped)
    with pytest.raises(CheckpointError, match="more than 8 containers .* or one within itself"):
        read_checkpoint(path)


def nested_pickle(depth: int) -> bytes:
    """`{"model": {"model": ... 1}}`, which Python's own pickle is too recursive to write."""
    return b"\x80\x02" + b"}X\x05\x00\x00\x00model" * depth + b"K\x01" + b"s" * depth + b"."


def test_three_thousand_containers_within_each_other(save):
    path = save({})
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, nested_pickle(3000) if name.endswith("data.pkl") else data)
    with pytest.raises(CheckpointError, match="more than 8 containers"):
        read_checkpoint(path)


@each_format
def test_a_tensor_of_stride_zero_has_no_more_numbers_than_the_file(zipped, save, resnet):
    huge = torch.zeros(1).half().expand(40 * 10**9)
    path = save({**resnet, "extra": huge}, _use_new_zipfile_serialization=zipped)
    words = r"extra cannot be read \(it has 80,000,000,000 bytes, of which the file holds 2\)"
    with pytest.raises(CheckpointError, match=words):
        read_checkpoint(path)


def test_many_views_of_the_same_numbers(save, resnet):
    numbers = torch.zeros(100_000, dtype=torch.bfloat16)
    twice = {**resnet, "a": numbers, "b": numbers}
    assert read_checkpoint(save(twice)).tensors["b"].nbytes == 400_000
    views = {f"view{start}": numbers[start:] for start in range(1000)}
    with pytest.raises(CheckpointError, match="the tensors have more than 2 times the .* bytes of"):
        read_checkpoint(save({**resnet, **views}))


def test_a_compressed_archive_is_not_unpacked(save, resnet):
    path = save({**resnet, "extra": torch.zeros(10**6)})
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    with pytest.raises(CheckpointError, match="its parts are compressed"):
        read_checkpoint(path)


def write_safetensors(path, header: dict, data: bytes):
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + data)
    return path


@pytest.mark.parametrize(
    "entry",
    [
        {"dtype": "F16", "shape": [40 * 10**9], "data_offsets": [0, 80 * 10**9]},
        {"dtype": "F16", "shape": [40 * 10**9], "data_offsets": [0, 4]},
        {"dtype": "F32", "shape": [2**62, 2**62], "data_offsets": [0, 4]},
        {"dtype": "F32", "shape": [0, 2**62, 2**62], "data_offsets": [0, 0]},
        {"dtype": "F32", "shape": [-1], "data_offsets": [0, 4]},
    ],
)
def test_sizes_that_a_safetensors_file_claims(entry, tmp_path):
    pytest.importorskip("safetensors")
    path = write_safetensors(tmp_path / "a.safetensors", {"x": entry}, b"\0" * 4)
    with pytest.raises(CheckpointError, match="is not a whole .safetensors file"):
        read_checkpoint(path)


def test_a_safetensors_file_with_a_weight_that_is_not_finite(resnet, tmp_path):
    safetensors = pytest.importorskip("safetensors.torch")
    path = tmp_path / "a.safetensors"
    safetensors.save_file(spoiled(resnet, "conv1.weight", np.nan), path)
    with pytest.raises(ModelError, match="not finite numbers for .*: conv1.weight"):
        import_torch(path, tmp_path / "run", image_size=32)
