"""The group that every verb joins, and the words it finds for errors."""

from __future__ import annotations

import difflib
from typing import Any

import click

from s2bnn_tf import __version__
from s2bnn_tf.cli.output import shown_log
from s2bnn_tf.environment import quiet_tensorflow
from s2bnn_tf.errors import UserError, describe_os_error
from s2bnn_tf.interrupts import EXIT_CODE, answered_interrupts
from s2bnn_tf.plugins import load_plugin
from s2bnn_tf.text import printable

_MORE_MEMORY = (
    "There is not enough memory: close some programs, lower data.batch_size or --batch-size, or "
    "let training compute each batch in parts with optimizer.accumulation_steps."
)


class Suggesting(click.Group):
    """Offers the nearest command where one is misspelt; groups inside of it do so, too."""

    group_class: type[click.Group] | type[type] | None = type

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            near = difflib.get_close_matches(args[0], self.list_commands(ctx), 1)
            if near and "Did you mean" not in error.message:  # as later versions of click say
                error.message += f" Did you mean {near[0]!r}?"
            raise


class _Commands(Suggesting):
    """Reports a user's mistake in one sentence; any other exception keeps its traceback."""

    group_class = Suggesting

    def invoke(self, ctx: click.Context) -> Any:
        quiet_tensorflow()
        try:
            with answered_interrupts(), shown_log():
                return super().invoke(ctx)
        except KeyboardInterrupt:
            click.echo("Stopped.", err=True)
            raise click.exceptions.Exit(EXIT_CODE) from None
        except UserError as error:
            raise click.ClickException(printable(str(error))) from error
        except BrokenPipeError:  # the reader of the output has left, as `| head` does
            raise  # click ends silently
        except OSError as error:
            raise click.ClickException(describe_os_error(error)) from error
        except Exception as error:
            if _is_out_of_memory(error):
                raise click.ClickException(_MORE_MEMORY) from error
            raise


def _is_out_of_memory(error: Exception) -> bool:
    """Whether an exception is Python's, NumPy's or TensorFlow's for memory that is not there."""
    return isinstance(error, MemoryError) or type(error).__name__ == "ResourceExhaustedError"


@click.group(
    cls=_Commands,
    context_settings={"help_option_names": ["-h", "--help"], "show_default": True},
)
@click.version_option(__version__)
@click.option(
    "--plugin",
    "plugins",
    multiple=True,
    metavar="MODULE",
    help="Import a module that registers backbones, objectives or sources. May be repeated.",
)
def main(plugins: tuple[str, ...]) -> None:
    """Train 1-bit vision encoders without labels, and run them on small devices.

    \b
    Start here:
      s2bnn demo
      s2bnn train configs/digits/teacher.yaml --output-dir runs/digits/teacher
    """
    for module in plugins:
        load_plugin(module)
