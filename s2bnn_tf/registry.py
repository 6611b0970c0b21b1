"""What is known by a name: backbones, objectives and sources, ours and those of plugins."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Generic, TypeVar

from s2bnn_tf.errors import ConfigError
from s2bnn_tf.plugins import importing, load_installed, missing

F = TypeVar("F", bound=Callable[..., Any])


class Registry(Generic[F]):
    """Functions of one kind by their names.

    >>> colors = Registry("color")
    >>> colors.register("red", lambda: (255, 0, 0))
    >>> colors.get("red")()
    (255, 0, 0)

    Attributes:
        entries: The functions by their names.

    Args:
        kind: What the functions make, in a word.
        reserved: Names that cannot be registered.
    """

    def __init__(self, kind: str, reserved: Iterable[str] = ()):
        self.kind = kind
        self.reserved = frozenset(reserved)
        self.entries: dict[str, F] = {}
        self._plugins: dict[str, str] = {}

    def register(self, name: str, function: F) -> None:
        """Add a function. A module that is loaded again may replace its own.

        Raises:
            ConfigError: If the name is no identifier, or another function has it.
        """
        if not name.isidentifier():
            raise ConfigError(
                f"A name of {self.article} is made of letters, digits and _, unlike {name!r}."
            )
        taken = self.entries.get(name)
        if name in self.reserved or (taken is not None and _origin(taken) != _origin(function)):
            whose = self._plugins.get(name)
            owner = f" by the plugin {whose}" if whose else ""
            by = f" in {function.__module__}" if importing() else ""
            raise ConfigError(
                f"{self.article.capitalize()} named {name!r} is registered already{owner}; choose "
                f"another name for {function.__qualname__}{by}."
            )
        self.entries[name] = function
        plugin = importing() or function.__module__ or "__main__"
        if plugin.split(".")[0] not in ("s2bnn_tf", "__main__", "builtins"):
            self._plugins[name] = plugin

    def decorator(self, name: str) -> Callable[[F], F]:
        """Return a decorator that adds a function by `register`, and leaves it as it is."""

        def register(function: F) -> F:
            self.register(name, function)
            return function

        return register

    @property
    def article(self) -> str:
        """The kind with its article, as in `an objective`."""
        return f"{'an' if self.kind[0] in 'aeiou' else 'a'} {self.kind}"

    def names(self) -> list[str]:
        """The registered names, sorted, those of installed plugins too."""
        load_installed()
        return sorted(self.entries)

    def get(self, name: str) -> F:
        """Return the function of a name.

        Raises:
            ConfigError: If there is none.
        """
        if name not in self.entries:
            load_installed()
        if name not in self.entries:
            known = ", ".join(self.names())
            choice = f"choose one of: {known}" if known else "none is registered"
            raise ConfigError(
                f"There is no {self.kind} named {name!r}{needed_plugins()}; {choice}."
            )
        return self.entries[name]

    def plugin_of(self, name: str) -> str | None:
        """The plugin that has registered a name; None if it is ours, or unknown."""
        return self._plugins.get(name)


def needed_plugins() -> str:
    """Where a name may come from that nobody has registered, as a part of a sentence."""
    plugins = missing()
    if not plugins:
        return ""
    options = " ".join(f"--plugin {plugin}" for plugin in plugins)
    return (
        f", and its recipe needs the plugin {', '.join(plugins)}, which is not imported (write "
        f"`s2bnn {options} ...`)"
    )


def _origin(function: Callable[..., Any]) -> tuple[str, str]:
    return function.__module__, function.__qualname__
