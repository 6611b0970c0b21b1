"""Whatever the bytes of a file are, it is read, or refused with a sentence."""

from __future__ import annotations

import io
import random
import zipfile
from collections import Counter

import pytest

from s2bnn_tf.errors import UserError
from s2bnn_tf.torch_import.assembly import recognize
from s2bnn_tf.torch_import.files import read_checkpoint

torch = pytest.importorskip("torch")

MUTANTS = 120  # of each kind of file


def mutate(data: bytes, rng: random.Random) -> bytes:
    """Flip, cut and insert a few bytes, most of them where a file describes itself."""
    mutant = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 4))):
        place = rng.randrange(rng.choice((len(mutant), min(len(mutant), 4096))))
        length = rng.randrange(1, 9)
        change = rng.randrange(4)
        if change == 0:
            mutant[place] ^= 1 << rng.randrange(8)
        elif change == 1:
            mutant[place : place + length] = b""
        elif change == 2:
            mutant[place:place] = rng.randbytes(length)
        elif rng.random() < 0.2:
            del mutant[place + 1 :]
    return bytes(mutant)


def mutate_pickle(data: bytes, rng: random.Random) -> bytes:
    """Mutate the pickle in an archive, which stays whole otherwise, with right checksums."""
    result = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(result, "w") as new:
        for name in old.namelist():
            part = old.read(name)
            new.writestr(name, mutate(part, rng) if name.endswith("data.pkl") else part)
    return result.getvalue()


@pytest.mark.parametrize("kind", ["zip", "pickle", "legacy", "safetensors"])
def test_every_mutant_is_read_or_refused(kind, save, resnet, tmp_path):
    if kind == "safetensors":
        original = tmp_path / "whole.safetensors"
        pytest.importorskip("safetensors.torch").save_file(resnet, original)
    else:
        content = {"state_dict": resnet, "epoch": 3, "best": torch.tensor(0.5)}
        original = save(content, _use_new_zipfile_serialization=kind != "legacy")
    recognize(read_checkpoint(original).tensors)
    data, rng = original.read_bytes(), random.Random(1)
    path = tmp_path / f"mutant{original.suffix}"
    outcomes: Counter[str] = Counter()
    for _ in range(MUTANTS):
        path.write_bytes((mutate_pickle if kind == "pickle" else mutate)(data, rng))
        try:
            recognize(read_checkpoint(path).tensors)
            outcomes["read"] += 1
        except UserError as error:
            outcomes["refused"] += 1
            assert str(error).endswith(".")
    assert outcomes["refused"] > MUTANTS // 2, outcomes
    assert outcomes["read"] > 0, outcomes
