"""`s2bnn words`: lists, vectors, text encoders, and the file that a device takes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from s2bnn_tf.cli import main
from s2bnn_tf.errors import UserError
from s2bnn_tf.files import sha256
from s2bnn_tf.teachers import WordVectors, make_words, read_list, read_words, write_words
from s2bnn_tf.teachers.words.lists import Entry

GOLDEN = Path(__file__).parent.parent / "golden" / "text_encoder"
NAMES = ["cat", "dog", "red car", "crème brûlée"]


@pytest.fixture
def vectors(tmp_path) -> Path:
    rows = np.random.default_rng(0).normal(size=(len(NAMES), 6))
    np.savez(tmp_path / "vectors.npz", names=np.array(NAMES), rows=rows.astype(np.float32))
    return tmp_path / "vectors.npz"


def write(tmp_path, text: str | bytes) -> Path:
    path = tmp_path / "words.txt"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def test_a_list_is_one_class_a_line(tmp_path):
    text = "cat\n\n  dog: barks; runs after cats ;\ncrème brûlée:\r\nat 12:30\n"
    wanted = [
        Entry("cat"),
        Entry("dog", ("barks", "runs after cats")),
        Entry("crème brûlée"),
        Entry("at 12:30"),
    ]
    for encoding in ("utf-8", "utf-8-sig", "utf-16"):
        assert read_list(write(tmp_path, text.encode(encoding))) == wanted


def test_the_everyday_words():
    entries = read_list("everyday")
    assert len({entry.name.lower() for entry in entries}) == len(entries) == 1000
    assert not any(entry.descriptions for entry in entries)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("cat\ndog\ncat\n", "line 3 names 'cat', which line 1 names already"),
        (": furry\n", "line 1 has no name of 1 to 200 characters"),
        ("x" * 201, "line 1 has no name"),
        ("\n \n", "names nothing; write one class a line"),
        ("caf\xe9".encode("latin-1"), "no text in UTF-8"),
        ("cat\ndog\n".encode("utf-16-le"), "line 1 holds a control character"),
        ("caf\xe9\ncafe\u0301\n", "line 2 names 'caf\xe9', which line 1 names already"),
    ],
)
def test_a_list_that_is_none_is_one_sentence(text, said, tmp_path):
    with pytest.raises(UserError, match=said):
        read_list(write(tmp_path, text))


def test_vectors_become_a_file_that_the_device_takes(vectors, tmp_path):
    runtime = pytest.importorskip("s2bnn_runtime")
    made = make_words(
        write(tmp_path, "crème brûlée\ncat\n"), tmp_path / "w.npz", vectors=vectors, teacher=None
    )
    assert (made["words"], made["dim"], made["threshold"], made["space"]) == (2, 6, None, None)
    classifier = runtime.PrototypeClassifier.load(tmp_path / "w.npz")
    assert classifier.counts == {"crème brûlée": 1, "cat": 1} and classifier.threshold == -1
    with np.load(vectors) as arrays:
        rows = arrays["rows"]
    predictions = classifier.predict(rows[[0, 3]])
    assert [p.name for p in predictions] == ["cat", "crème brûlée"]
    np.testing.assert_allclose([p.score for p in predictions], 1, rtol=1e-6)
    units = rows[[3, 0]] / np.linalg.norm(rows[[3, 0]], axis=1, keepdims=True)
    np.testing.assert_allclose(classifier.words.mean, units.mean(axis=0), atol=1e-6)
    words, space, teacher = read_words(tmp_path / "w.npz")
    assert (words.names, space, teacher) == (["crème brûlée", "cat"], None, "")
    np.testing.assert_allclose(words.rows, units, atol=1e-6)


def test_pictures_give_a_mean_and_a_threshold(vectors, tmp_path):
    runtime = pytest.importorskip("s2bnn_runtime")
    seen = np.random.default_rng(1).normal(size=(199, 6)).astype(np.float32)
    np.savez(tmp_path / "features.npz", embeddings=seen)
    made = make_words("-", tmp_path / "w.npz", vectors=vectors, pictures=tmp_path / "features.npz")
    classifier = runtime.PrototypeClassifier.load(tmp_path / "w.npz")
    best = np.sort(classifier.scores(seen).max(axis=1))
    assert made["threshold"] == classifier.threshold == pytest.approx(best[9], abs=1e-6)
    assert sum(p.name is None for p in classifier.predict(seen)) == 9
    units = seen / np.linalg.norm(seen, axis=1, keepdims=True)
    np.testing.assert_allclose(classifier.words.pictures, units.mean(axis=0), atol=1e-6)


def test_the_space_is_that_of_the_teacher(vectors, tmp_path):
    teacher = tmp_path / "teacher.keras"
    teacher.write_bytes(b"any file is named by its digest")
    made = make_words("-", tmp_path / "w.npz", vectors=vectors, teacher=str(teacher))
    assert made["space"] == sha256(teacher) and made["teacher"] == "teacher.keras"
    assert read_words(tmp_path / "w.npz")[1:] == (sha256(teacher), "teacher.keras")


@pytest.mark.parametrize("source", ["list", "-"])
def test_everyday_words_without_a_vector_are_left_out_and_named(source, vectors, tmp_path):
    everyday = [entry.name for entry in read_list("everyday")]
    unknown = [name for name in everyday if name not in NAMES]
    assert len(everyday) - len(unknown) == 2, "cat and dog"
    listed = str(write(tmp_path, "red car\n")) if source == "list" else "-"
    output = tmp_path / "w.npz"
    command = ["words", listed, str(output), "--vectors", str(vectors), "--json"]
    done = CliRunner(mix_stderr=False).invoke(main, [*command, "--everyday"])
    assert done.exit_code == 0
    first = ", ".join(unknown[:3])
    assert done.stderr == (
        f"{vectors} has no vector of 998 of the 1,000 everyday words, which are left out: {first} "
        "and 995 others.\n"
    )
    found = json.loads(done.stdout)
    assert (found["words"], found["left_out"]) == (3 if source == "list" else 4, 998)
    done = CliRunner(mix_stderr=False).invoke(main, command)
    assert (done.stderr, json.loads(done.stdout)["left_out"]) == ("", 0)


def golden_rows() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(10, 8))


def vector_of(*tokens: int) -> np.ndarray:
    mean = golden_rows()[list(tokens)].mean(axis=0)
    return mean / np.linalg.norm(mean)


def test_a_text_encoder_embeds_templates_and_descriptions(tmp_path):
    pytest.importorskip("tokenizers")
    encoder = GOLDEN / "text_encoder.onnx"
    source = write(tmp_path, "forklift: a red cat\ndog\n")
    made = make_words(source, tmp_path / "w.npz", text_encoder=encoder)
    assert made["templates"] == ["{}"]
    rows = read_words(tmp_path / "w.npz")[0].rows
    both = vector_of(8) + vector_of(1, 4, 6)
    np.testing.assert_allclose(rows[0], both / np.linalg.norm(both), atol=1e-6)
    np.testing.assert_allclose(rows[1], vector_of(7), atol=1e-6)
    templates = ["a photo of a {}", "a {} ."]
    make_words(source, tmp_path / "w.npz", text_encoder=encoder, templates=templates)
    both = vector_of(1, 2, 3, 1, 7) + vector_of(1, 7, 9)
    rows = read_words(tmp_path / "w.npz")[0].rows
    np.testing.assert_allclose(rows[1], both / np.linalg.norm(both), atol=1e-6)
    long = write(tmp_path, "dog: " + "a " * 7)
    with pytest.raises(UserError, match=r"'dog': 'a a.* has 7 tokens.*takes at most 6; shorten"):
        make_words(long, tmp_path / "w.npz", text_encoder=encoder)


@pytest.mark.parametrize("kind", ["clip", "siglip"])
def test_a_text_tower_computes_what_transformers_computes(kind, tmp_path):
    transformers, torch = pytest.importorskip("transformers"), pytest.importorskip("torch")
    from s2bnn_tf.teachers.words.transformers_encoder import TransformersTextEncoder

    torch.manual_seed(0)
    small = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2}
    small |= {"num_attention_heads": 2, "image_size": 8, "patch_size": 4, "vocab_size": 12}
    text = {**small, "max_position_embeddings": 9, "projection_dim": 12, "projection_size": 12}
    text |= {"bos_token_id": 10, "eos_token_id": 9, "pad_token_id": 11}
    config, network = {
        "clip": (transformers.CLIPConfig, transformers.CLIPModel),
        "siglip": (transformers.SiglipConfig, transformers.SiglipModel),
    }[kind]
    model = network(config(text_config=text, vision_config=small, projection_dim=12)).eval()
    model.save_pretrained(tmp_path)
    tokenizer = json.loads((GOLDEN / "tokenizer.json").read_text())
    (tmp_path / "tokenizer.json").write_text(json.dumps(tokenizer))
    encoder = TransformersTextEncoder(tmp_path)
    tokens = encoder.tokens("a photo of a dog .")
    assert tokens == ([1, 2, 3, 1, 7, 9] if kind == "clip" else [1, 2, 3, 1, 7])
    assert encoder.longest == 9 and encoder.scale == pytest.approx(model.logit_scale.exp().item())
    padded = torch.tensor([tokens + [11] * (9 - len(tokens) if kind == "siglip" else 0)])
    with torch.no_grad():
        wanted = model.get_text_features(input_ids=padded)[0].numpy()
    np.testing.assert_allclose(encoder.embed(tokens), wanted, atol=1e-6)
    assert encoder.bias == (0 if kind == "clip" else pytest.approx(model.logit_bias.item()))
    (tmp_path / "model.safetensors").write_bytes(b"nothing")
    with pytest.raises(UserError, match="holds no whole model"):
        TransformersTextEncoder(tmp_path)
    (tmp_path / "config.json").write_text('{"model_type": "bert", "text_config": {}}')
    with pytest.raises(UserError, match="model_type is bert, not one of clip, siglip"):
        TransformersTextEncoder(tmp_path)


def test_a_damaged_text_encoder_is_one_sentence(tmp_path):
    pytest.importorskip("tokenizers")
    source, broken = write(tmp_path, "dog"), tmp_path / "broken.onnx"
    with pytest.raises(UserError, match="There is no text encoder"):
        make_words(source, tmp_path / "w.npz", text_encoder=broken)
    broken.write_bytes((GOLDEN / "text_encoder.onnx").read_bytes()[:200])
    with pytest.raises(UserError, match="put the tokenizer of the text encoder beside it"):
        make_words(source, tmp_path / "w.npz", text_encoder=broken)
    (tmp_path / "tokenizer.json").write_bytes((GOLDEN / "tokenizer.json").read_bytes())
    with pytest.raises(UserError, match="no network in ONNX"):
        make_words(source, tmp_path / "w.npz", text_encoder=broken)
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(UserError, match="no tokenizer that can be read"):
        make_words(source, tmp_path / "w.npz", text_encoder=broken)
    assert not (tmp_path / "w.npz").exists()


@pytest.mark.parametrize(
    ("text", "options", "said"),
    [
        ("cot", {}, "no vector of 'cot'; did you mean cat?"),
        ("cat: furry", {}, "has a description, and .* holds vectors of names alone"),
        ("cat", {"templates": ["a {}"]}, "--template is for texts"),
        ("cat", {"templates": ["a photo"]}, r"'a photo' must hold \{\} once"),
        ("cat", {"text_encoder": "t.onnx"}, "two ways to one thing"),
        ("cat", {"vectors": None}, "Say who knows the words"),
        ("cat", {"vectors": None, "teacher": "dinov2_vits14"}, "has no text tower; give"),
        ("cat", {"teacher": "nowhere"}, "There is no teacher nowhere"),
        ("cat", {"teacher": "clip_vit_b3"}, "There is no teacher .* Did you mean clip_vit_b32?"),
        ("cat", {"teacher": "dinov2_vits14"}, "s2bnn teachers get dinov2_vits14` gets them"),
        ("cat", {"vectors": "missing.npz"}, "There is no file missing.npz"),
        ("cat", {"pictures": "missing.npz"}, "There is no file missing.npz"),
    ],
)
def test_mistakes_are_one_sentence(text, options, said, vectors, tmp_path):
    arguments = {"vectors": vectors, **options}
    with pytest.raises(UserError, match=said):
        make_words(write(tmp_path, text), tmp_path / "w.npz", **arguments)
    assert not (tmp_path / "w.npz").exists()


@pytest.mark.parametrize(
    "arrays",
    [
        {"names": np.array(["a", "a"]), "rows": np.ones((2, 3))},
        {"names": np.array(["a", "b"]), "rows": np.ones((1, 3))},
        {"names": np.array(["a", "b"]), "rows": np.array([[0.0, 0], [1, 0]])},
        {"names": np.array(["a", "b"]), "rows": np.array([[np.nan, 0], [1, 0]])},
        {"names": np.array([1, 2]), "rows": np.ones((2, 3))},
        {"rows": np.ones((2, 3))},
    ],
)
def test_damaged_vectors_are_one_sentence(arrays, tmp_path):
    np.savez(tmp_path / "v.npz", **arrays)
    with pytest.raises(UserError, match="v.npz"):
        make_words("-", tmp_path / "w.npz", vectors=tmp_path / "v.npz")


def test_100_000_words_work_and_more_than_a_device_reads_do_not(tmp_path):
    names = np.array([f"name {number}" for number in range(100_000)])
    rows = np.random.default_rng(0).normal(size=(len(names), 16)).astype(np.float32)
    np.savez(tmp_path / "v.npz", names=names, rows=rows)
    source = write(tmp_path, "\n".join(names))
    made = make_words(source, tmp_path / "w.npz", vectors=tmp_path / "v.npz")
    assert made["words"] == 100_000
    wide = np.broadcast_to(np.float32(1), (100_000, 700))
    with pytest.raises(UserError, match=r"100,000 words take .* name at most 9\d,\d{3} of them"):
        write_words(tmp_path / "w.npz", WordVectors(names.tolist(), wide))


def test_the_command_says_that_nothing_is_rejected(vectors, tmp_path):
    arguments = ["words", "-", str(tmp_path / "w.npz"), "--vectors", str(vectors)]
    said = CliRunner().invoke(main, arguments)
    assert said.exit_code == 0 and "4 words of 6 numbers. They reject nothing" in said.output
    printed = CliRunner().invoke(main, [*arguments, "--json"]).stdout.splitlines()[-1]
    assert json.loads(printed)["words"] == 4
    failed = CliRunner().invoke(main, ["words", "-", "w.npz", "--teacher", "x"])
    assert failed.exit_code == 1 and "takes all names of --vectors" in failed.output
