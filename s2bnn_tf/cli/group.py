"""The group that every verb joins, and what it does about errors."""

from __future__ import annotations

import errno

import click

from s2bnn_tf import __version__
from s2bnn_tf.environment import quiet_tensorflow
from s2bnn_tf.errors import UserError


class _Commands(click.Group):
    """Tells a user's mistake in one sentence; anything else keeps its traceback."""

    def invoke(self, ctx: click.Context):
        quiet_tensorflow()
        try:
            return super().invoke(ctx)
        except UserError as error:
            raise click.ClickException(str(error)) from error
        except OSError as error:  # no room, no permission, a path that is not there
            where = f" ({error.filename})" if error.filename else ""
            todo = "make room" if error.errno == errno.ENOSPC else "choose another path"
            raise click.ClickException(f"{error.strerror or error}{where}; {todo}.") from error


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__)
def main() -> None:
    """Train 1-bit vision encoders without labels, and run them on small devices.

    \b
    Start here:
      s2bnn demo
      s2bnn train configs/digits/teacher.yaml --output-dir runs/digits/teacher
    """
