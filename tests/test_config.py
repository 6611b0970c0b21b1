"""Recipes: what is read, what is refused and in which words, and every file under configs/."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

import pytest

from s2bnn_tf.config import (
    AUGMENTATIONS,
    Config,
    ConfigError,
    dump_config,
    load_config,
    to_dict,
)
from s2bnn_tf.errors import UserError

CONFIGS = Path(__file__).parents[1] / "configs"
RECIPES = sorted(CONFIGS.glob("*/*.yaml"))
CONTRAST = "objective: {contrastive_weight: 1, distillation_weight: 0}\n"


@pytest.fixture
def recipe(tmp_path):
    """Write a recipe; contrast alone, so that it needs no teacher."""

    def write(text: str = "", name: str = "recipe.yaml", head: str = CONTRAST) -> Path:
        path = tmp_path / name
        path.write_text(head + text)
        return path

    return write


def refusal(path: Path, overrides: list[str] | None = None) -> str:
    with pytest.raises(ConfigError) as caught:
        load_config(path, overrides or [])
    assert isinstance(caught.value, UserError)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_defaults_are_the_papers(recipe):
    config = load_config(recipe("teacher: {weights: runs/teacher}", head=""))
    assert (config.epochs, config.data.batch_size, config.data.image_size) == (200, 256, 224)
    objective = config.objective
    assert (objective.contrastive_weight, objective.distillation_weight) == (0, 1)
    assert (objective.temperature, objective.queue_size, objective.momentum) == (0.2, 65536, 0.999)
    optimizer = config.optimizer
    assert (optimizer.name, optimizer.learning_rate, optimizer.schedule) == ("adam", 3e-4, "linear")
    assert (optimizer.weight_decay, config.student.embedding_dim) == (0, 128)


@pytest.mark.parametrize(
    ("override", "words"),
    [
        # Unknown keys: the dotted path, and the known keys of that section.
        ("epoch=3", "epoch: unknown key; expected one of seed, epochs, steps, deterministic,"),
        ("optimizer.lr=3", "optimizer.lr: unknown key; expected one of name, learning_rate"),
        ("optimiser.name=sgd", "optimiser: unknown key; expected one of seed, epochs"),
        ("student.backbone.name=a", "student.backbone: expected text, not {'name': 'a'}"),
        # Types.
        ("epochs=ten", "epochs: expected a whole number, not 'ten'"),
        ("epochs=1.5", "epochs: expected a whole number, not 1.5"),
        ("epochs=true", "epochs: expected a whole number, not True"),
        ("epochs=", "epochs: expected a whole number, not None"),
        ("optimizer.learning_rate=fast", "optimizer.learning_rate: expected a number, not 'fast'"),
        ("optimizer.learning_rate=true", "optimizer.learning_rate: expected a number, not True"),
        ("optimizer.learning_rate=.nan", "optimizer.learning_rate: expected a number, not nan"),
        ("optimizer.learning_rate=nan", "optimizer.learning_rate: expected a number, not nan"),
        ("optimizer.learning_rate=.inf", "optimizer.learning_rate: expected a number, not inf"),
        (f"optimizer.learning_rate=1{'0' * 400}", "optimizer.learning_rate: expected a number"),
        ("optimizer.learning_rate=[1]", "optimizer.learning_rate: expected a number, not [1]"),
        ("data.source=3", "data.source: expected text, not 3"),
        ("student.binarize_weights=1", "student.binarize_weights: expected true or false, not 1"),
        ("student.binarize_weights=yes please", "student.binarize_weights: expected true or false"),
        ("data=digits", "data: expected a section with keys, not 'digits'"),
        ("optimizer=", "optimizer: expected a section with keys, not None"),
        # Ranges.
        ("epochs=0", "epochs: expected 1 or more, not 0"),
        ("seed=-1", "seed: expected 0 or more, not -1"),
        ("seed=2147483648", "seed: expected 2147483647 or less"),
        ("data.batch_size=1", "data.batch_size: expected 2 or more, not 1"),
        ("data.image_size=4", "data.image_size: expected 8 or more, not 4"),
        ("data.blur_probability=1.1", "data.blur_probability: expected 1.0 or less, not 1.1"),
        ("data.flip_probability=-0.1", "data.flip_probability: expected 0.0 or more, not -0.1"),
        ("data.center_crop=0", "data.center_crop: expected more than 0.0, not 0.0"),
        ("student.width=0", "student.width: expected more than 0.0, not 0.0"),
        ("student.embedding_dim=1", "student.embedding_dim: expected 2 or more, not 1"),
        ("objective.temperature=0", "objective.temperature: expected more than 0.0, not 0.0"),
        ("objective.momentum=1.01", "objective.momentum: expected 1.0 or less, not 1.01"),
        ("objective.queue_size=0", "objective.queue_size: expected 1 or more, not 0"),
        ("optimizer.weight_decay=-1", "optimizer.weight_decay: expected 0.0 or more, not -1.0"),
        ("monitor.checkpoints_kept=0", "monitor.checkpoints_kept: expected 1 or more, not 0"),
        # One number or three.
        ("teacher.mean=[1, 2]", "teacher.mean: expected one number or three, not [1, 2]"),
        ("teacher.std=[0.5, 0, 0.5]", "teacher.std: expected more than 0.0, not 0.0"),
        ("teacher.mean=blue", "teacher.mean: expected a number, not 'blue'"),
        # Choices.
        ("teacher.resize=stretch", "teacher.resize: expected one of crop, squash"),
        ("optimizer.name=adamw", "optimizer.name: expected one of adam, sgd, lamb, not 'adamw'"),
        ("optimizer.schedule=poly", "optimizer.schedule: expected one of linear, cosine, step"),
        ("student.stem=big", "student.stem: expected one of imagenet, medium, small"),
        ("data.augmentation=hard", "data.augmentation: expected one of light, moco_v2"),
        ("objective.key_statistics=x", "objective.key_statistics: expected one of batch, averaged"),
        # The pair.
        ("data.crop_scale=0.2", "data.crop_scale: expected two numbers, as in [0.2, 1.0], not 0.2"),
        ("data.crop_scale=[0.2]", "data.crop_scale: expected two numbers"),
        ("data.crop_scale=[0.2, 0.5, 1]", "data.crop_scale: expected two numbers"),
        ("data.crop_scale=[a, 1]", "data.crop_scale: expected a number, not 'a'"),
        ("data.crop_scale=[true, 1]", "data.crop_scale: expected a number, not True"),
        ("data.crop_scale=[.nan, 1]", "data.crop_scale: expected a number, not nan"),
        ("data.crop_scale=[0, 1]", "data.crop_scale: expected more than 0.0, not 0.0"),
        ("data.crop_scale=[0.5, 1.5]", "data.crop_scale: expected 1.0 or less, not 1.5"),
        ("data.crop_scale=[0.9, 0.2]", "data.crop_scale: expected the smaller number first"),
        # Image size and channels.
        ("data.image_size=[96]", "data.image_size: expected a whole number, or height and width"),
        ("data.image_size=[96, 320, 3]", "height and width as in [96, 320], not [96, 320, 3]"),
        ("data.image_size=[96, a]", "expected a whole number, or height and width"),
        ("data.image_size=[96, true]", "expected a whole number, or height and width"),
        ("data.image_size=96.5", "expected a whole number, or height and width"),
        ("data.image_size=", "expected a whole number, or height and width"),
        ("data.image_size=[96, 4]", "data.image_size: expected 8 or more, not 4"),
        ("data.image_size=[5000, 96]", "data.image_size: expected 4096 or less, not 5000"),
        ("data.channels=2", "data.channels: expected one of 3, 1, not 2"),
        ("data.channels=gray", "data.channels: expected a whole number, not 'gray'"),
        # Overrides themselves.
        ("epochs", "--set epochs: expected KEY=VALUE"),
        ("data.source=2026-11-45", "--set data.source: the value is not valid YAML"),
        ("=3", "--set =3: expected KEY=VALUE"),
        ("epochs=[1", "--set epochs: the value is not valid YAML"),
        # Fine alone, senseless together.
        ("objective.contrastive_weight=0", "are all 0; expected at least one"),
        ("objective.distillation_weight=1", "teacher.weights: expected a run directory"),
        ("objective.similarity_weight=1", "since objective.similarity_weight is above 0"),
        ("objective.regression_weight=1", "since objective.regression_weight is above 0"),
        ("teacher.weights=runs/a", "teacher: expected none, since only objective.contrastive"),
        ("optimizer.accumulation_steps=3", "expected a divisor of data.batch_size (256), not 3"),
        ("optimizer.warmup_epochs=200", "optimizer.warmup_epochs: expected fewer than epochs (2"),
    ],
)  # fmt: skip
def test_what_is_refused(override, words, recipe):
    assert words in refusal(recipe(), [override])


def test_the_queue_is_for_one_loss(recipe):
    overrides = ["objective.similarity_weight=1", "teacher.weights=runs/a"]
    assert "there is one queue" in refusal(recipe(), overrides)


def test_mixed_images_are_for_a_teacher_that_sees_them(recipe):
    mixed = ["objective.mixup=true", "teacher.weights=runs/a", "objective.regression_weight=1"]
    assert "keys are made of the same two views" in refusal(recipe(), mixed)
    mixed.append("objective.contrastive_weight=0")
    load_config(recipe(), mixed)
    assert "teacher.cache=false" in refusal(recipe(), [*mixed, "teacher.cache=true"])
    assert "expected one of them" in refusal(recipe(), [*mixed, "objective.cross_views=true"])


def test_a_weight_grows_from_somewhere(recipe):
    overrides = ["objective.regression_weight=1", "teacher.weights=runs/a"]
    overrides.append("objective.final_distillation_weight=0.3")
    assert "above 0 to start" in refusal(recipe(), overrides)
    load_config(recipe(), [*overrides, "objective.distillation_weight=0.1"])


def test_a_teacher_without_weights_is_refused(recipe):
    path = recipe("teacher: {backbone: ResNet50}", head="")
    assert "teacher.weights: expected a run directory" in refusal(path)


def test_a_file_is_refused_like_an_override(recipe):
    assert "data.sauce: unknown key" in refusal(recipe("data: {sauce: digits}"))
    assert "1: unknown key" in refusal(recipe("1: 2"))


@pytest.mark.parametrize("text", ["3e-4", "3E-4", "0.0003", "'3e-4'", ".0003"])
def test_exponents_without_a_point_are_numbers(text, recipe):
    path = recipe(f"optimizer: {{learning_rate: {text}}}")
    assert load_config(path).optimizer.learning_rate == 3e-4
    overridden = load_config(recipe(), [f"optimizer.learning_rate={text}"])
    assert overridden.optimizer.learning_rate == 3e-4


def test_a_whole_number_is_a_number(recipe):
    width = load_config(recipe(), ["student.width=2"]).student.width
    assert (width, type(width)) == (2.0, float)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"epochs: [1, 2\n", "is not valid YAML at line 2"),
        (b"a: b: c\n", "is not valid YAML at line 1"),
        (b"data: {source: 2026-11-45}\n", "is not valid YAML"),
        (b"- 1\n- 2\n", "expected keys and values, as in 'epochs: 100'"),
        (b"epochs\n", "expected keys and values"),
        (b"\xff\xfe\x00\x80", "Cannot read the recipe"),
        (b"seed: !!python/object/apply:os.getcwd []\n", "is not valid YAML at line 1"),
        (b"extends: 3\n", "extends: expected the path of another recipe"),
        (b"extends: absent.yaml\n", "absent.yaml: No such file or directory"),
    ],
)
def test_files_that_are_no_recipes(content, words, tmp_path):
    path = tmp_path / "recipe.yaml"
    path.write_bytes(content)
    assert words in refusal(path)


def test_a_directory_or_nothing_is_no_recipe(tmp_path):
    assert "Cannot read the recipe" in refusal(tmp_path)
    assert "No such file" in refusal(tmp_path / "absent.yaml")


def test_extends_changes_what_the_file_names_and_nothing_else(recipe, tmp_path):
    (tmp_path / "below").mkdir()
    recipe("data: {batch_size: 32, image_size: 64}\nepochs: 7\n", name="base.yaml")
    recipe("extends: ../base.yaml\ndata: {image_size: 48}\n", name="below/middle.yaml", head="")
    path = recipe("extends: below/middle.yaml\nepochs: 9\n", name="leaf.yaml", head="")
    config = load_config(path, ["data.batch_size=16"])
    assert (config.data.batch_size, config.data.image_size, config.epochs) == (16, 48, 9)
    assert config.objective.contrastive_weight == 1


def test_a_section_can_be_taken_away(recipe):
    recipe("teacher: {weights: runs/a}\n", name="base.yaml", head="")
    head = "extends: base.yaml\nteacher:\n" + CONTRAST
    assert load_config(recipe(name="leaf.yaml", head=head)).teacher is None


def test_a_recipe_that_extends_itself_is_refused(recipe):
    path = recipe("extends: recipe.yaml\n", head="")
    assert "recipe.yaml extends itself" in refusal(path)
    recipe("extends: b.yaml\n", name="a.yaml", head="")
    recipe("extends: c.yaml\n", name="b.yaml", head="")
    path = recipe("extends: a.yaml\n", name="c.yaml", head="")
    assert "c.yaml extends itself, by way of" in refusal(path)


def test_overrides_make_missing_sections_and_the_last_one_wins(recipe):
    overrides = ["objective.distillation_weight=1", "teacher.weights=a", "teacher.weights=b=c"]
    assert load_config(recipe(), overrides).teacher.weights == "b=c"


def test_overrides_do_not_reach_into_the_file_of_another_call(recipe):
    path = recipe("data: {batch_size: 32}")
    assert load_config(path, ["data.batch_size=64"]).data.batch_size == 64
    assert load_config(path).data.batch_size == 32


@pytest.mark.parametrize("preset", sorted(AUGMENTATIONS))
def test_a_preset_fills_in_what_is_not_given(preset, recipe):
    data = load_config(recipe(f"data: {{augmentation: {preset}}}")).data
    assert {name: getattr(data, name) for name in AUGMENTATIONS[preset]} == AUGMENTATIONS[preset]
    text = f"data: {{augmentation: {preset}, blur_probability: 0, crop_scale: [0.5, 0.5]}}"
    data = load_config(recipe(text)).data
    assert (data.blur_probability, data.crop_scale) == (0.0, (0.5, 0.5))
    assert data.jitter_probability == AUGMENTATIONS[preset]["jitter_probability"]


def test_presets_are_the_papers():
    light, moco_v2 = AUGMENTATIONS["light"], AUGMENTATIONS["moco_v2"]
    assert (light["jitter_probability"], light["blur_probability"]) == (0.6, 0.2)
    assert (moco_v2["jitter_probability"], moco_v2["blur_probability"]) == (0.8, 0.5)
    for preset in (light, moco_v2):
        assert (preset["crop_scale"], preset["grayscale_probability"]) == ((0.2, 1.0), 0.2)
    weak = AUGMENTATIONS["weak"]
    assert {name for name, value in weak.items() if value} == {"crop_scale", "flip_probability"}


def test_a_saved_recipe_is_the_same_recipe(recipe, tmp_path):
    overrides = [
        "data.crop_scale=[0.3, 0.9]",
        "data.source=folder:/data/täglich",
        "student.width=0.25",
        "optimizer.learning_rate=1e-30",
    ]
    config = load_config(recipe(), overrides)
    (tmp_path / "saved.yaml").write_text(dump_config(config))
    assert load_config(tmp_path / "saved.yaml") == config


def test_to_dict_is_plain(recipe):
    tree = to_dict(load_config(recipe()))
    assert tree["data"]["crop_scale"] == [0.2, 1.0]
    assert tree["teacher"] is None
    assert tree.keys() == {field.name for field in dataclasses.fields(Config)}


def test_a_shipped_recipe_can_be_extended_from_anywhere(recipe):
    path = recipe(f"extends: {CONFIGS / 'digits' / 'teacher.yaml'}\nepochs: 3\n", head="")
    assert load_config(path).data.source == "digits"


@pytest.mark.parametrize("parent", ["../secret.txt", "/etc/passwd", "link.yaml", "/dev/zero"])
def test_extends_reaches_nothing_outside_of_the_recipes_folder(recipe, tmp_path, parent):
    secret = tmp_path / "secret.txt"
    secret.write_text("password: hunter2\n")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "link.yaml").symlink_to(secret)
    path = recipe(f"extends: {parent}\n", name="mine/recipe.yaml", head="")
    said = refusal(path)
    assert "is outside of" in said
    assert "hunter2" not in said and "root:" not in said


def test_only_regular_files_are_recipes(tmp_path):
    pipe = tmp_path / "pipe.yaml"
    os.mkfifo(pipe)
    assert "it is not a regular file" in refusal(pipe)
    assert "larger than" in refusal_of_text(tmp_path, "# " + "x" * 2**20)


BOMB = "a: &a [1,1,1,1,1,1,1,1,1]\n" + "".join(
    f"{new}: &{new} [{','.join([f'*{old}'] * 9)}]\n" for old, new in zip("abcdefgh", "bcdefghi")
)


@pytest.mark.parametrize(
    "text",
    [
        BOMB,
        BOMB.replace("i: &i", "epochs: &i"),
        "data:\n  source: " + "[" * 3000 + "]" * 3000 + "\n",
        "student: " + "{a: " * 3000 + "1" + "}" * 3000 + "\n",
    ],
)
def test_a_recipe_that_explodes_is_refused_in_one_short_sentence(tmp_path, text):
    assert len(refusal_of_text(tmp_path, text)) < 500
    value = text.partition(": ")[2] if text.startswith(("data", "student")) else None
    if value is not None:
        assert "nested too deeply" in refusal(CONFIGS / "digits/teacher.yaml", [f"epochs={value}"])


@pytest.mark.parametrize(
    "override", ["student.width=1e9", "data.image_size=100000", "objective.queue_size=1000000000"]
)
def test_a_recipe_does_not_decide_how_much_memory_is_taken(recipe, override):
    assert "or less" in refusal(recipe(), [override])


def refusal_of_text(folder, text):
    path = folder / "hostile.yaml"
    path.write_text(text)
    return refusal(path)


def test_recipes_are_frozen(recipe):
    with pytest.raises(dataclasses.FrozenInstanceError):
        load_config(recipe()).epochs = 3


def test_every_data_set_has_the_whole_matrix():
    names = {path.parent.name: set() for path in RECIPES}
    for path in RECIPES:
        names[path.parent.name].add(path.stem)
    recipes = ("contrastive", "contrastive_distillation", "distillation")
    forms = ("one_step", "step1", "step2")
    expected = {f"{recipe}_{form}" for recipe in recipes for form in forms}
    names["imagenet"].remove("real_valued_student")
    assert names.pop("fit") == {"teacher", "regression_step1", "regression_step2"}
    best = {"best_step1", "best_step2"}
    assert names.pop("photos") == best
    for name in ("fashion_mnist", "imagenet"):
        assert best <= names[name]
        names[name] -= best
    guides = (
        "similarity",
        "regression",
        "distillation_two_temperatures",
        "contrastive_distillation_weighted",
    )
    more = {f"{guide}_step{step}" for guide in guides for step in (1, 2)}
    assert more | {"real_valued_twin"} <= names["fashion_mnist"]
    names["fashion_mnist"] -= more | {"real_valued_twin"}
    assert names == dict.fromkeys(names, expected | {"teacher", "baseline_sgd"})
    assert names.keys() == {"digits", "fashion_mnist", "imagenet"}


@pytest.mark.parametrize("path", RECIPES, ids=lambda p: f"{p.parent.name}/{p.stem}")
def test_a_recipe_of_ours_says_what_its_name_says(path):
    config = load_config(path)
    student, objective = config.student, config.objective
    if path.stem in ("teacher", "real_valued_student"):
        assert student.binarize_weights is None
        assert student.backbone.startswith("resnet")
        assert (objective.distillation_weight > 0) == (path.stem != "teacher")
        return
    if path.stem == "real_valued_twin":
        twin = load_config(path.with_stem("contrastive_one_step"))
        binary = ("backbone", "binarize_weights", "kernel_initializer")
        changed = {name: getattr(twin.student, name) for name in binary}
        assert student.backbone == "reactnet_real"
        changed = dataclasses.replace(student, **changed)
        assert dataclasses.replace(config, student=changed) == twin
        return
    assert student.backbone == "reactnet"
    # The digits' recipes have the demo's own, with which it was measured.
    assert (student.kernel_initializer == "small_positive") == (path.parent.name != "digits")
    assert student.binarize_weights is not path.stem.endswith("step1")
    contrast = path.stem.startswith(("contrastive", "baseline"))
    assert (objective.contrastive_weight > 0) == contrast
    assert (objective.distillation_weight > 0) == ("distillation" in path.stem)
    assert (objective.similarity_weight > 0) == path.stem.startswith("similarity")
    assert (objective.regression_weight > 0) == path.stem.startswith(("regression", "best"))
    assert (config.teacher is None) == (contrast and "distillation" not in path.stem)
    two_temperatures = any(
        name in path.stem for name in ("similarity", "two_temperatures", "weighted")
    )
    assert (objective.teacher_temperature is not None) == two_temperatures
    assert (objective.distillation_weight > 1) == ("_weighted" in path.stem)
    assert (config.optimizer.name == "sgd") == path.stem.startswith("baseline")
    if path.stem.endswith("step2"):
        step1 = path.with_name(path.name.replace("step2", "step1"))
        assert Path(student.init_from).parts[-2:] == (path.parent.name, step1.stem)
        changed = {"student": dataclasses.replace(student, init_from=None, binarize_weights=False)}
        assert load_config(step1) == dataclasses.replace(config, **changed)
    else:
        assert student.init_from is None


def test_the_best_recipe_is_the_objective_of_fit_and_says_what_was_measured():
    fit = load_config(CONFIGS / "fit" / "regression_step1.yaml")
    for path in sorted(CONFIGS.glob("*/best_step1.yaml")):
        config = load_config(path)
        assert config.objective.regression_weight == fit.objective.regression_weight == 1
        assert config.student.head == fit.student.head
        assert config.teacher.output == fit.teacher.output == "features"
        assert "# Measured: " in path.read_text()
    photos = load_config(CONFIGS / "photos" / "best_step2.yaml")
    assert photos.teacher.reduce_to == photos.student.embedding_dim == 128


@pytest.mark.parametrize("path", RECIPES, ids=lambda p: f"{p.parent.name}/{p.stem}")
def test_the_header_of_a_recipe_names_its_command(path):
    text = path.read_text()
    assert f"s2bnn train configs/{path.parent.name}/{path.name} --output-dir" in text
    assert "# Needs:" in text
    assert "# Costs:" in text


FAST = ["digits/distillation_step2", "digits/teacher"]


def builds(path: Path) -> None:
    """The student of a recipe, without its teacher: the right step, one embedding an image."""
    import larq as lq
    import numpy as np

    from s2bnn_tf.runs import build_encoder

    config = load_config(path)
    encoder = build_encoder(config)
    images = np.random.default_rng(0).normal(size=(2, *config.data.shape)).astype(np.float32)
    assert encoder(images).shape == (2, config.student.embedding_dim)
    quantizers = [
        layer.kernel_quantizer
        for layer in encoder.backbone.layers
        if isinstance(layer, lq.layers.QuantConv2D)
    ]
    assert len(quantizers) == (0 if path.stem in ("teacher", "real_valued_twin") else 26)
    assert all((q is not None) == config.student.binarize_weights for q in quantizers)


@pytest.mark.parametrize(
    "text, size, shape",
    [
        ("data.image_size=64", 64, (64, 64, 3)),
        ("data.image_size=[64, 64]", 64, (64, 64, 3)),
        ("data.image_size=[96, 320]", (96, 320), (96, 320, 3)),
    ],
)
def test_both_spellings_of_a_size_load_and_round_trip(text, size, shape, recipe):
    config = load_config(recipe(), [text])
    assert config.data.image_size == size and type(config.data.image_size) is type(size)
    assert config.data.shape == shape
    assert load_config(recipe(dump_config(config), name="again.yaml", head="")) == config
    assert ("image_size: 64\n" in dump_config(config)) == (size == 64)
    gray = load_config(recipe(), [text, "data.channels=1"])
    assert gray.data.shape == (*shape[:2], 1)
    assert load_config(recipe(dump_config(gray), name="gray.yaml", head="")) == gray


@pytest.mark.parametrize("name", FAST)
def test_a_digits_recipe_builds(name):
    builds(CONFIGS / f"{name}.yaml")


@pytest.mark.slow
@pytest.mark.parametrize(
    "path",
    [
        path
        for path in RECIPES
        if path.parent.name != "imagenet" and f"{path.parent.name}/{path.stem}" not in FAST
    ],
    ids=lambda p: f"{p.parent.name}/{p.stem}",
)
def test_a_recipe_builds(path):
    builds(path)


@pytest.mark.parametrize(
    ("objective", "head"),
    [
        (
            "{regression_weight: 1.0, distillation_weight: 0.0}",
            "linear bn relu linear bn relu linear",
        ),
        ("{regression_weight: 1.0}", "linear relu linear"),
        ("{distillation_weight: 1.0}", "linear relu linear"),
    ],
)
def test_the_head_is_chosen_by_the_objective_unless_the_recipe_says(objective, head, recipe):
    path = recipe(f"objective: {objective}\nteacher: {{weights: runs/teacher}}", head="")
    assert load_config(path).student.head == head
    assert load_config(path, ["student.head=linear"]).student.head == "linear"
