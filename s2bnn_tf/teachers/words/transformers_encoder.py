"""The text towers of CLIP and SigLIP, as `transformers` runs them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from s2bnn_tf.errors import DeviceError, ModelError
from s2bnn_tf.reading import Field, Number, Object, Text, read_json
from s2bnn_tf.teachers.words.onnx_encoder import open_tokenizer
from s2bnn_tf.teachers.words.texts import PLAIN

_INSTALL = "pip install 's2bnn_tf[words,torch]'"
_CONFIG: dict[str, Field] = {
    "model_type": Text(("clip", "siglip")),
    "text_config": Object({"max_position_embeddings": Number(low=1, whole=True, optional=True)}),
}
_LENGTHS = {"clip": 77, "siglip": 64}  # tokens
_TEMPLATES = {"clip": ("a photo of a {}.",), "siglip": PLAIN}
# What SigLIP's tokenizer leaves out before it begins.
_PUNCTUATION = str.maketrans("", "", "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~")


class TransformersTextEncoder:
    """The text tower of a CLIP or a SigLIP; see `TextEncoder`.

    Args:
        folder: A folder as Hugging Face's `save_pretrained` makes it: `config.json`,
            `model.safetensors` and `tokenizer.json`.

    Raises:
        DeviceError: If a package is missing that runs it.
        ModelError: If a file is missing or damaged.
    """

    def __init__(self, folder: Path):
        try:
            import torch
            import transformers
        except ImportError as error:
            raise DeviceError(f"A text tower needs transformers and torch: {_INSTALL}.") from error
        cure = "put the files of the whole model there, as its publisher has them"
        try:
            config = read_json(
                folder / "config.json", _CONFIG, cure=cure, error=ModelError, follow_links=True
            )
        except FileNotFoundError as error:
            raise ModelError(f"There is no {folder / 'config.json'}; {cure}.") from error
        self._torch, self._kind = torch, str(config["model_type"])
        self.name = folder.name
        self.templates: tuple[str, ...] = _TEMPLATES[self._kind]
        self._tokenizer, _ = open_tokenizer(folder / "tokenizer.json")
        longest = config["text_config"].get("max_position_embeddings")
        self.longest: int = longest or _LENGTHS[self._kind]
        classes = {"clip": transformers.CLIPModel, "siglip": transformers.SiglipModel}
        self._model = _load(classes[self._kind], folder, cure)
        padding = self._model.config.text_config.pad_token_id
        self._padding = 1 if padding is None else int(padding)
        self.scale = float(self._model.logit_scale.detach().exp())
        self.bias = float(self._model.logit_bias.detach()) if self._kind == "siglip" else 0.0

    def tokens(self, text: str) -> list[int]:
        """The tokens of a text."""
        if self._kind == "siglip":
            text = " ".join(text.lower().translate(_PUNCTUATION).split())
        found: list[int] = self._tokenizer.encode(text).ids
        return found

    def embed(self, tokens: list[int]) -> NDArray[np.float32]:
        """The vector of a text `(D,)`."""
        if self._kind == "siglip":  # which learned from texts filled up to their full length
            tokens = tokens + [self._padding] * (self.longest - len(tokens))
        with self._torch.inference_mode():
            found = self._model.get_text_features(input_ids=self._torch.tensor([tokens]))
        return np.asarray(found[0].numpy(), np.float32)


def _load(kind: Any, folder: Path, cure: str) -> Any:
    """Read a model in float32; no code in the folder is run, and nothing is downloaded."""
    try:
        model, report = kind.from_pretrained(
            folder,
            local_files_only=True,
            trust_remote_code=False,
            use_safetensors=True,
            output_loading_info=True,
        )
    except Exception as error:  # a damaged file can raise nearly anything
        raise ModelError(f"{folder} holds no whole model; {cure}.") from error
    if report["missing_keys"]:
        raise ModelError(f"{folder} lacks weights, as {sorted(report['missing_keys'])[0]}; {cure}.")
    return model.float().eval()
