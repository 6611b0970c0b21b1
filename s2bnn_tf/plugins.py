"""Custom modules that register backbones, objectives and sources, found by their names.

A plugin is named on the command line (`s2bnn --plugin MODULE`), imported by a program, or installed
with an entry point of the group `s2bnn_tf.plugins`. A recipe only names the plugins that it needs:
no file makes this package import anything.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import sys
import traceback
from collections.abc import Callable, Iterator
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path

from s2bnn_tf.errors import ConfigError, UserError
from s2bnn_tf.text import printable

GROUP = "s2bnn_tf.plugins"

_importing: list[str] = []  # the plugin whose import runs now, and those that it imports
_expected: dict[str, None] = {}  # the plugins that recipes have named, in their order


def load_plugin(module: str) -> None:
    """Import a plugin, which registers what it has.

    It is found wherever Python finds modules, and last in the current folder.

    Args:
        module: The name of the module, such as `my_networks` or `my_package.networks`.

    Raises:
        ConfigError: If there is no such module, it cannot be imported, or it registers a name
            that is taken.
    """
    if not is_module_name(module) or module.endswith(".py"):
        raise ConfigError(
            f"--plugin {printable(module)}: expected the name of a module, as in my_networks for "
            "my_networks.py."
        )
    folder = os.getcwd()
    if folder not in sys.path and "" not in sys.path:
        sys.path.append(folder)
    try:
        _import(module, lambda: importlib.import_module(module), f"The plugin {module}")
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"There is no module {error.name} in {folder} or among the installed packages; check "
            "the name after --plugin."
        ) from error


@cache
def load_installed() -> None:
    """Import the plugins of installed packages, once.

    Raises:
        ConfigError: If one cannot be imported, or registers a name that is taken.
    """
    for entry in entry_points(group=GROUP):
        package = entry.dist.name if entry.dist is not None else "an installed package"
        plugin = f"The plugin {printable(entry.value)} of {package}"
        try:
            _import(entry.module, entry.load, plugin)
        except ModuleNotFoundError as error:
            raise ConfigError(
                f"{plugin} does not exist; install or uninstall the package again."
            ) from error


def importing() -> str | None:
    """The plugin that is being imported now, if any."""
    return _importing[0] if _importing else None


def expect(modules: tuple[str, ...]) -> None:
    """Remember that a recipe names these plugins, for the words about a name that is unknown."""
    _expected.update(dict.fromkeys(modules))


def loaded_plugins() -> list[str]:
    """The plugins that recipes have named and that are imported."""
    return [module for module in _expected if module in sys.modules]


def missing() -> list[str]:
    """The plugins that recipes have named and that are not imported."""
    return [module for module in _expected if module not in sys.modules]


def is_module_name(text: str) -> bool:
    """Whether a text can be the name of a module."""
    return all(part.isidentifier() for part in text.split("."))


def _import(module: str, run: Callable[[], object], plugin: str) -> None:
    """Import a plugin; whatever goes wrong in it becomes one sentence.

    Raises:
        ModuleNotFoundError: If the plugin does not exist.
        ConfigError: If anything else is wrong.
    """
    with _marked(module):
        try:
            run()
        except UserError:
            raise
        except ModuleNotFoundError as error:
            if error.name is None or not f"{module}.".startswith(f"{error.name}."):
                raise ConfigError(f"{plugin} lacks the module {error.name}; install it.") from error
            raise
        except (Exception, SystemExit) as error:
            lines = str(error).strip().splitlines()
            reason = f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
            raise ConfigError(
                f"{plugin} cannot be imported: {reason}{_place(error)}; mend it."
            ) from error


@contextlib.contextmanager
def _marked(module: str) -> Iterator[None]:
    _importing.append(module)
    try:
        yield
    finally:
        _importing.pop()


def _place(error: BaseException) -> str:
    """The line of the plugin that failed, as the end of a sentence."""
    if isinstance(error, SyntaxError):  # which says so itself
        return ""
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return f" ({Path(frame.filename).name}, line {frame.lineno})"
