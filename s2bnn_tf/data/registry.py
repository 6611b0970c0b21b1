"""Sources by name: one registered function adds a kind of storage."""

from __future__ import annotations

from collections.abc import Callable

from s2bnn_tf.data.image_source import ImageSource
from s2bnn_tf.errors import DataError
from s2bnn_tf.registry import Registry

OpenSource = Callable[[str, str], ImageSource]

BUILT_IN = ("digits", "folder", "idx", "list", "tfds", "tfrecord", "video")
_SOURCES: Registry[OpenSource] = Registry("source", reserved=BUILT_IN)


def register_source(name: str) -> Callable[[OpenSource], OpenSource]:
    """Make images available as `data.source: "name:LOCATION"`, and as `--data name:LOCATION`.

    The decorated function takes the location, which is the text after the colon, and the split,
    `train` or `test`. It returns the images of that split: an `ArraySource`, a `FileSource`, or
    another `ImageSource`. Where it has no such images, it raises `DataError`. It is called again
    for every measure, and gives the same images then.

    >>> import numpy as np
    >>> from s2bnn_tf.data import ArraySource, open_source
    >>> @register_source("noise")
    ... def noise(location, split):
    ...     images = np.random.default_rng(int(location)).integers(0, 256, (8, 16, 16, 3), np.uint8)
    ...     return ArraySource(f"noise:{location}", split, None, (), images)
    >>> len(open_source("noise:3", "train"))
    8

    Args:
        name: The name before the colon.

    Raises:
        ConfigError: If another function has the name.
    """
    return _SOURCES.decorator(name)


def source_names() -> list[str]:
    """The names that were registered, sorted."""
    return _SOURCES.names()


def source_plugin(spec: str) -> str | None:
    """The plugin that has registered the source of a specification; None if none has."""
    return _SOURCES.plugin_of(spec.partition(":")[0])


def open_registered(spec: str, split: str) -> ImageSource | None:
    """Open a source that was registered; None if its name was not.

    Raises:
        DataError: If the function returns something else than the images of the split.
    """
    name, _, location = spec.partition(":")
    if name not in source_names():
        return None
    source = _SOURCES.get(name)(location, split)
    if not isinstance(source, ImageSource) or source.split != split or not len(source):
        raise DataError(
            f"The source {name!r} has returned no {split} images; it is to return an ImageSource "
            f"of the split {split!r} with at least one image, or to raise DataError."
        )
    return source
