"""Pages that run networks in browsers: the same pixels, numbers and classes as on the device."""

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image
from s2bnn_runtime import pictures
from s2bnn_runtime.prototypes import PrototypeClassifier
from s2bnn_runtime.words import Words

from s2bnn_tf.cli import main
from s2bnn_tf.errors import UserError
from s2bnn_tf.export.c_source.parts import space_of
from s2bnn_tf.export.web.classes import NO_CLASSES, as_script, read_page_classes
from s2bnn_tf.tflite import TFLiteEncoder

# Height and width: larger, smaller, elongated, and just the size of the input.
SIZES = [(97, 61), (20, 45), (480, 640), (32, 32), (33, 300), (5, 3)]


def draw(height, width, rng):
    """A picture with edges and noise, uint8 RGB."""
    rows, columns = np.mgrid[:height, :width]
    waves = np.stack([np.sin(rows / (3 + i)) + np.cos(columns / (2 + i)) for i in range(3)], -1)
    return np.clip(127 + 50 * waves + rng.normal(0, 20, waves.shape), 0, 255).astype(np.uint8)


def as_rgba(path, pixels):
    """Write what a canvas gives, and describe it."""
    height, width, _ = pixels.shape
    alpha = np.full((height, width, 1), 255, np.uint8)
    path.write_bytes(np.concatenate([pixels, alpha], -1).tobytes())
    return {"file": str(path), "height": height, "width": width}


def cosines(one, other):
    one, other = np.asarray(one), np.asarray(other)
    lengths = np.linalg.norm(one, axis=-1) * np.linalg.norm(other, axis=-1)
    return (one * other).sum(-1) / lengths


@pytest.mark.parametrize("build", ["simd.js", "plain.js"])
def test_the_device_sees_and_answers_the_same(run_page, student, tmp_path, build):
    rng, encoder = np.random.default_rng(0), TFLiteEncoder(student)
    drawn = [draw(*size, rng) for size in SIZES]
    found = run_page(
        build=build,
        pictures=[as_rgba(tmp_path / f"{i}.rgba", pixels) for i, pixels in enumerate(drawn)],
    )
    assert (found["file"], found["otherFile"]) == ("simd.js", "plain.js")
    seen = np.stack([pictures.see(p, (32, 32, 3), encoder.center_crop) for p in drawn])
    np.testing.assert_array_equal(np.reshape(found["seen"], seen.shape), seen)
    wanted = encoder.features(seen)
    assert cosines(found["outputs"], wanted).min() > 0.99999


def test_classes_and_rejection_are_those_of_the_device(run_page):
    rng = np.random.default_rng(1)
    centers = rng.normal(size=(3, 16))
    vectors = [centers[i] + rng.normal(0, 0.4, (count, 16)) for i, count in enumerate((6, 30, 1))]
    vectors[1][0] = rng.normal(size=16)  # so unlike the others that it sets the threshold
    others = np.concatenate([rng.normal(size=(20, 16)), *vectors])
    vectors[0] = np.concatenate([vectors[0], vectors[0][:1]])  # counts once
    device, classes = PrototypeClassifier(), ["cat", "dog", "__proto__"]
    for name, rows in zip(classes, vectors):
        device.enroll(name, rows[:1])
        device.confirm(name, rows)
    thresholds = device.calibrated(0.05)
    found = run_page(
        enroll=[{"name": n, "vectors": v.tolist()} for n, v in zip(classes, vectors)],
        classify=others.tolist(),
    )
    assert found["counts"] == list(device.counts.values()) == [6, 30, 1]
    np.testing.assert_allclose(found["thresholds"], list(thresholds.values()), rtol=1e-6)
    wanted = device.predict(others, thresholds)
    assert [row["name"] for row in found["predictions"]] == [row.name for row in wanted]
    assert [row["nearest"] for row in found["predictions"]] == [row.nearest for row in wanted]
    scores = [row["score"] for row in found["predictions"]]
    np.testing.assert_allclose(scores, [row.score for row in wanted], atol=1e-6)
    assert {None, "cat", "dog"} <= {row.name for row in wanted}


def words_of(student, path, threshold):
    """Four words, where pictures lie, and pictures of the first two."""
    rng, dim = np.random.default_rng(3), TFLiteEncoder(student).feature_dim
    at_words, at_pictures, *kinds = rng.normal(size=(6, dim)) * np.array([[0.3]] * 2 + [[1]] * 4)
    words = Words("", 100.0, 0.0, at_words, at_pictures)
    device = PrototypeClassifier(threshold)
    device.add_words(["a", "b", "c", "d"], at_words + np.stack(kinds), words)
    device.enter(space_of(TFLiteEncoder(student)))
    device.enroll("a", at_pictures + kinds[0] + rng.normal(0, 0.3, (9, dim)))
    device.save(path)
    more = at_pictures + kinds[1] + rng.normal(0, 0.3, (5, dim))
    asked = at_pictures + np.repeat(kinds, 9, axis=0) + rng.normal(0, 0.9, (36, dim))
    return device, more, asked


@pytest.mark.parametrize("threshold", [-1.0, 0.3])
def test_a_page_begins_with_words_as_the_device_does(run_page, student, tmp_path, threshold):
    device, more, asked = words_of(student, tmp_path / "words.npz", threshold)
    begun = read_page_classes(tmp_path / "words.npz", student)
    (tmp_path / "begun.js").write_text(as_script(begun))
    device.enroll("b", more)
    device.enroll("e", more + 1)
    enroll = [{"name": n, "vectors": v.tolist()} for n, v in (("b", more), ("e", more + 1))]
    job = {"begun": str(tmp_path / "begun.js"), "enroll": enroll, "classify": asked.tolist()}
    found = run_page(**job)
    assert found["counts"] == list(device.counts.values()) == [10, 6, 1, 1, 5]
    thresholds = device.calibrated(0.05) if threshold == -1 else None
    if threshold == -1:
        np.testing.assert_allclose(found["thresholds"], list(thresholds.values()), rtol=1e-4)
    wanted = device.predict(asked, thresholds)
    assert [row["name"] for row in found["predictions"]] == [row.name for row in wanted]
    assert {None, "b", "c", "d"} <= {row.name for row in wanted}
    scores = [row["score"] for row in found["predictions"]]
    np.testing.assert_allclose(scores, [row.score for row in wanted], atol=1e-5)


def test_classes_that_a_page_cannot_begin_with(student, tmp_path):
    def refused(classifier):
        classifier.save(tmp_path / "classes.npz")
        with pytest.raises(UserError) as error:
            read_page_classes(tmp_path / "classes.npz", student)
        return str(error.value)

    assert "holds no class" in refused(PrototypeClassifier())
    narrow = PrototypeClassifier()
    narrow.enroll("cat", np.eye(3))
    assert "classes of 3 numbers" in refused(narrow)
    dim = TFLiteEncoder(student).feature_dim
    split = PrototypeClassifier()
    split.enroll("cat", np.eye(6, dim))
    split.split("cat", 2)
    assert "`s2bnn-run enroll --prototypes 1`" in refused(split)
    other = PrototypeClassifier()
    other.enter("elsewhere")
    other.enroll("cat", np.eye(6, dim))
    assert "enrolled with another model" in refused(other)


def titles(browser):
    return browser.run("[...document.querySelectorAll('#pictures b')].map((b) => b.textContent)")


def select(browser, *numbers):
    for number in numbers:
        browser.run(f"document.querySelectorAll('#pictures button')[{number}].click()")


@pytest.mark.slow
def test_a_browser_enrolls_classifies_searches_and_keeps(browser, page, student, tmp_path):
    rng, paths = np.random.default_rng(2), []
    for number in range(4):
        pixels = draw(240, 320, rng)
        if number % 2:
            pixels = 255 - np.ascontiguousarray(pixels[:, ::-1].transpose(1, 0, 2))
        paths.append(tmp_path / f"{number}.png")
        Image.fromarray(pixels).save(paths[-1])
    (tmp_path / "text.png").write_text("no picture")
    browser.choose_files(*paths, tmp_path / "text.png")
    browser.wait("document.getElementById('message').textContent.includes('text.png')")
    assert titles(browser) == []
    for name, numbers in (("waves", (0, 2)), ("holes", (1,))):
        select(browser, *numbers)
        browser.run(f"document.getElementById('name').value = '{name}'")
        browser.run("document.getElementById('add').click()")
        browser.wait(f"document.getElementById('classes').textContent.includes('{name}')")

    encoder = TFLiteEncoder(student)
    read = [pictures.decode(path.read_bytes()) for path in paths]
    seen = np.stack([pictures.see(p, (32, 32, 3), encoder.center_crop) for p in read])
    features, device = encoder.features(seen), PrototypeClassifier()
    device.enroll("waves", features[[0, 2]])
    device.enroll("holes", features[[1]])
    wanted = [f"{row.name} {row.score:.4f}" for row in device.predict(features)]
    assert titles(browser) == wanted

    select(browser, 3)
    browser.run("document.getElementById('similar').click()")
    shown = browser.run("document.querySelector('#pictures li:nth-child(2)').innerText")
    cosine = np.sort(cosines(features, features[3]))[-2]
    assert f"similarity {cosine:.4f}, 1.png" in shown

    browser.open(page)  # again: everything was kept
    assert titles(browser) == wanted
    browser.run("document.querySelector('#classes button').click()")
    browser.wait("!document.getElementById('classes').textContent.includes('waves')")
    assert all(title.startswith("holes ") for title in titles(browser))

    browser.run("document.getElementById('camera').click()")  # a moving picture of Chromium's
    browser.wait("document.getElementById('seen').textContent.startsWith('holes ')")
    browser.run("document.getElementById('take').click()")
    browser.wait("document.querySelectorAll('#pictures li').length === 5")


def test_the_page_reaches_no_network_and_is_small(page):
    files = {path.name: path.read_text() for path in page.iterdir()}
    assert "default-src 'none'" in files["index.html"]
    for name, text in files.items():
        assert "http" not in text.replace("http-equiv", "").replace("https.", ""), name
        assert name in files["index.html"] + "index.html simd.js plain.js"
    written = sum(len(text) for name, text in files.items() if name not in ("simd.js", "plain.js"))
    assert written < 40 * 1024
    assert files["begun.js"] == as_script(NO_CLASSES)


def test_an_output_that_exists_and_a_missing_compiler(student, tmp_path, monkeypatch):
    from s2bnn_tf.export.web import compiler

    done = CliRunner().invoke(main, ["export-web", str(student), str(tmp_path)])
    assert (done.exit_code, done.output.count("\n")) == (1, 1)
    assert "exists already" in done.output
    monkeypatch.setattr(compiler.importlib.util, "find_spec", lambda name: None)
    monkeypatch.setenv("PATH", "")
    done = CliRunner().invoke(main, ["export-web", str(student), str(tmp_path / "page")])
    assert (done.exit_code, done.output.count("\n")) == (1, 1)
    assert "pip install 's2bnn_tf[web]'" in done.output
    assert not (tmp_path / "page").exists()
