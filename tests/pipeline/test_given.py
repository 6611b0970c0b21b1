"""Images in memory, which become files, and objects of a program, which become names."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from s2bnn_tf.config import TeacherConfig
from s2bnn_tf.data import load_image
from s2bnn_tf.errors import ConfigError, DataError, ModelError
from s2bnn_tf.layers import BinaryConv2D
from s2bnn_tf.objectives import objective_names
from s2bnn_tf.pipeline.given import write_images
from s2bnn_tf.pipeline.objects import is_binary_network, name_of, take_objects
from s2bnn_tf.teachers import load_teacher

keras = tf.keras


def images_of(count: int, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, 9, 7, 3), np.uint8)


class Batches(keras.utils.Sequence):
    """Three batches of two images with one-hot labels."""

    def __init__(self, images: np.ndarray):
        super().__init__()
        self.images = images

    def __len__(self) -> int:
        return 3

    def __getitem__(self, index: int):
        return self.images[2 * index : 2 * index + 2], np.eye(4)[[index, 3]]


def files(folder) -> dict[str, np.ndarray]:
    return {path.relative_to(folder).as_posix(): load_image(path) for path in folder.rglob("*.png")}


@pytest.mark.parametrize(
    ("kind", "names"),
    [
        ("array", ["0000000.png", "0000001.png", "0000005.png"]),
        ("dataset", ["a b/0000000.png", "c%2Fd/0000001.png", "c%2Fd/0000005.png"]),
        ("batched", ["0/0000000.png", "1/0000001.png", "5/0000005.png"]),
        ("sequence", ["0/0000000.png", "3/0000001.png", "3/0000005.png"]),
    ],
)
def test_images_in_memory_become_files_by_class(kind, names, tmp_path):
    images = images_of(6)
    labels = ["a b", *["c/d"] * 5]
    data = {
        "array": images,
        "dataset": tf.data.Dataset.from_tensor_slices((images, labels)),
        "batched": tf.data.Dataset.from_tensor_slices((images, np.arange(6))).batch(4),
        "sequence": Batches(images),
    }[kind]
    found = files(write_images(data, tmp_path / "images"))
    assert len(found) == 6
    for name in names:
        np.testing.assert_array_equal(found[name], images[int(name[-5])])


@pytest.mark.parametrize("axis", [(), (1,)])
@pytest.mark.parametrize("kind", ["array", "dataset", "batched", "list"])
def test_gray_images_stay_gray(kind, axis, tmp_path):
    images = images_of(6)[..., 0].reshape(6, 9, 7, *axis)
    data = {
        "array": images,
        "dataset": tf.data.Dataset.from_tensor_slices(images),
        "batched": tf.data.Dataset.from_tensor_slices(images).batch(4),
        "list": list(images),
    }[kind]
    folder = write_images(data, tmp_path / "images")
    for number, image in enumerate(images):
        with Image.open(folder / f"{number:07}.png") as written:
            assert written.mode == "L"
            np.testing.assert_array_equal(written, image.reshape(9, 7))


def test_images_are_written_once_and_others_are_refused(tmp_path):
    folder = write_images(images_of(4), tmp_path / "images")
    written = (folder / "0000003.png").stat().st_mtime_ns
    write_images(images_of(4), folder)
    assert (folder / "0000003.png").stat().st_mtime_ns == written
    for other in (images_of(4, seed=2), images_of(3)):
        with pytest.raises(DataError, match="images of an earlier call, which were others"):
            write_images(other, folder)
    (folder / ".images").write_text("begun")  # a kill while they were written
    assert len(files(write_images(images_of(3), folder))) == 3
    (tmp_path / "used").mkdir()
    (tmp_path / "used" / "thesis.tex").touch()
    with pytest.raises(DataError, match="holds other files"):
        write_images(images_of(4), tmp_path / "used")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (np.zeros((2, 8, 8, 3), np.float32), r"uint8, or gray, .*, not \(8, 8, 3\) of float32"),
        (np.zeros((2, 8, 8, 4), np.uint8), r"not \(8, 8, 4\) of uint8"),
        (5, "data: expected a folder, .*, not int"),
    ],
)
def test_what_is_no_image_is_refused(data, message, tmp_path):
    with pytest.raises(DataError, match=message):
        write_images(data, tmp_path / "images")


def network(filters: int = 4, binary: bool = False) -> keras.Model:
    image = keras.Input((None, None, 3))
    x = keras.layers.Conv2D(filters, 3, strides=2)(image)
    x = BinaryConv2D(filters, 3)(x) if binary else x
    return keras.Model(image, keras.layers.BatchNormalization()(x))


def test_a_network_is_named_by_its_layers_and_a_teacher_by_its_weights_too(tmp_path):
    """A program that runs again builds the same network with other weights and names."""
    first, again = (take_objects(network(), None, None, tmp_path / "a") for _ in range(2))
    assert first == again and len(first.names) == 1
    other = take_objects(network(5), None, None, tmp_path / "b")
    assert other.names != first.names
    teacher = network()
    taken = take_objects(None, teacher, None, tmp_path / "a")
    assert taken == take_objects(None, teacher, None, tmp_path / "a")
    assert taken.names != take_objects(None, network(), None, tmp_path / "c").names
    (path,) = (tmp_path / "a" / "given").glob("teacher_*.keras")
    assert taken.teacher == str(path)


def test_one_knows_a_network_with_bits(tmp_path):
    for binary in (True, False):
        taken = take_objects(network(binary=binary), None, None, tmp_path / str(binary))
        (path,) = (tmp_path / str(binary) / "given").glob("student_*.keras")
        assert f'student.backbone="{path}"' in taken.overrides
        assert is_binary_network(str(path)) == binary


def test_functions_are_named_by_their_code():
    def mean(images):
        return images.mean((1, 2))

    other = {}
    exec("def mean(images): return images.mean((1, 2)) + 1", other)
    assert name_of(mean).startswith("mean_") and name_of(mean) == name_of(mean)
    assert name_of(mean) != name_of(other["mean"])
    assert name_of(other["mean"]) == name_of(other["mean"])
    assert name_of(lambda images: images).startswith("function_")

    class Teacher:
        def __call__(self, images):
            return images

    assert name_of(Teacher()) == name_of(Teacher())
    assert name_of(Teacher()).startswith("Teacher_")


def test_a_function_teaches_what_it_computes_from_bytes(tmp_path):
    def corner(images):
        assert images.dtype == np.uint8
        return images[:, 0, 0] / 255

    taken = take_objects(None, corner, None, tmp_path)
    teacher = load_teacher(TeacherConfig(weights=taken.teacher), image_size=8)
    images = np.random.default_rng(0).integers(0, 256, (3, 8, 8, 3), np.uint8)
    from s2bnn_tf.data import normalize

    features = tf.function(teacher.backbone)(normalize(tf.cast(images, tf.float32)))
    np.testing.assert_allclose(features, images[:, 0, 0] / 255, rtol=1e-6)
    assert teacher.embedding_dim == 3 and not teacher.trainable_variables
    assert not (tmp_path / "given").exists()


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda images: images, r"returns \(2, 8, 8, 3\) for 2 images; expected \(N, D\)"),
        (lambda images: images[:1, 0, 0], r"returns \(1, 3\) for 2 images"),
        (lambda images: images.nonsense, r"fails with 2 images \(AttributeError: "),
    ],
)
def test_a_function_that_teaches_nothing_is_refused_at_once(function, message, tmp_path):
    taken = take_objects(None, function, None, tmp_path)
    with pytest.raises(ModelError, match=message):
        load_teacher(TeacherConfig(weights=taken.teacher), image_size=8)


def test_an_objective_is_a_name_or_a_function(tmp_path):
    def angle(query, target):
        return tf.reduce_mean(1 - tf.reduce_sum(query * target, -1))

    def weights(objective) -> dict[str, str]:
        taken = take_objects(None, None, objective, tmp_path)
        return dict(change.split("=", 1) for change in taken.overrides)

    found = weights("distillation")
    assert found.pop("objective.distillation_weight") == "1.0"
    assert set(found.values()) == {"0.0"}
    for _ in range(2):  # the call that resumes registers it again
        found = weights(angle)
    assert found["objective.custom"] in objective_names()
    assert found["objective.custom_weight"] == "1.0"
    assert found["objective.regression_weight"] == "0.0"
    with pytest.raises(ConfigError, match="contrastive takes no teacher"):
        weights("contrastive")


@pytest.mark.parametrize("what", ["student", "teacher"])
def test_objects_of_another_kind_are_refused(what, tmp_path):
    given = {"student": None, "teacher": None, what: 5}
    with pytest.raises(ConfigError, match=f"{what}: expected .* not an object of type int"):
        take_objects(given["student"], given["teacher"], None, tmp_path)


def test_networks_that_cannot_be_kept_are_refused(tmp_path):
    image = keras.Input((8, 8, 3))
    flat = keras.Model(image, keras.layers.Reshape((8, 24))(image))
    with pytest.raises(ModelError, match=r"student returns \(None, 8, 24\)"):
        take_objects(flat, None, None, tmp_path)
    lambdas = keras.Model(image, keras.layers.Lambda(lambda x: x[:, 0, 0])(image))
    with pytest.raises((ModelError, ValueError), match="student: "):
        take_objects(lambdas, None, None, tmp_path)
    with pytest.raises(ModelError, match=r"network of images \(N, H, W, 3\), not"):
        infrared = keras.Input((8, 9, 4))
        take_objects(keras.Model(infrared, infrared), None, None, tmp_path)
    assert not list(tmp_path.rglob("*.keras"))
