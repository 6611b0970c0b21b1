"""The names of the tensors in CLIP's and SigLIP's image towers, in two codes."""

from __future__ import annotations

import re
from collections.abc import Iterable

# The tensor by which an image tower is found, in Hugging Face's names and in OpenAI's.
HUGGING_FACE = "vision_model.embeddings.patch_embedding.weight"
OPENAI = "visual.conv1.weight"
_TOKENS = {HUGGING_FACE: "vision_model.embeddings.position_embedding.weight"}
_TOKENS[OPENAI] = "visual.positional_embedding"  # which tells it from a ResNet of CLIP

_BLOCK = r"visual\.transformer\.resblocks\.([0-9]+)\."
_OURS = r"vision_model.encoder.layers.\1."
_RENAMED = (
    (r"visual\.conv1\.", "vision_model.embeddings.patch_embedding."),
    (r"visual\.class_embedding$", "vision_model.embeddings.class_embedding"),
    (r"visual\.positional_embedding$", "vision_model.embeddings.position_embedding.weight"),
    (r"visual\.ln_pre\.", "vision_model.pre_layrnorm."),  # Hugging Face's own spelling
    (r"visual\.ln_post\.", "vision_model.post_layernorm."),
    (_BLOCK + r"ln_([12])\.", _OURS + r"layer_norm\2."),
    (_BLOCK + r"attn\.out_proj\.", _OURS + "self_attn.out_proj."),
    (_BLOCK + r"attn\.in_proj_", _OURS + "self_attn.in_proj_"),
    (_BLOCK + r"mlp\.c_fc\.", _OURS + "mlp.fc1."),
    (_BLOCK + r"mlp\.c_proj\.", _OURS + "mlp.fc2."),
)
_PATTERNS = [(re.compile(pattern, re.ASCII), new) for pattern, new in _RENAMED]


def tower_prefix(names: Iterable[str]) -> tuple[str, str] | None:
    """Find the image tower of a CLIP or a SigLIP.

    Returns:
        What stands before its names, and which of the two codes they are from: `HUGGING_FACE` or
        `OPENAI`; None if there is none, or more than one.
    """
    known = set(names)
    found = [
        (name.removesuffix(stem), stem)
        for name in known
        for stem, tokens in _TOKENS.items()
        if name.endswith(stem) and name.removesuffix(stem) + tokens in known
    ]
    return found[0] if len(found) == 1 else None


def hugging_face_name(name: str) -> str:
    """Translate OpenAI's name of a tensor in the image tower.

    >>> hugging_face_name("visual.transformer.resblocks.3.mlp.c_fc.bias")
    'vision_model.encoder.layers.3.mlp.fc1.bias'
    """
    for pattern, new in _PATTERNS:
        match = pattern.match(name)
        if match:
            return match.expand(new) + name[match.end() :]
    return name
