"""Pictures as they arrive in a folder."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from s2bnn_runtime.errors import S2bnnError, file_errors
from s2bnn_runtime.images import pictures_below

_SHORTEST_PAUSE = 0.2  # seconds between two looks at the folder
_SHARE = 0.2  # of the time that looking may take, in a folder of very many files

State = tuple[int, int, int]  # size, time of the last change, and inode of a file


class Watch:
    """The pictures that arrive in a folder and the folders below, each once it is complete.

    A picture has arrived once its size and time are the same at two looks. Those that are there
    when the object is made do not count. One that is changed counts again, as of a camera that
    overwrites its last picture.

    Args:
        folder: The folder.
        pause: Waits between two looks for the given number of seconds.

    Raises:
        S2bnnError: If the folder does not exist, or cannot be read.
    """

    def __init__(self, folder: Path, pause: Callable[[float], object] = time.sleep) -> None:
        self.folder = folder
        self._pause = pause
        with file_errors():
            if not stat.S_ISDIR(os.stat(folder).st_mode):
                raise S2bnnError(f"{folder} is not a folder, and only folders can be watched")
            os.scandir(folder).close()
        self._done = self._look()

    def __iter__(self) -> Iterator[Path]:
        """Wait for pictures, and yield them without end, the oldest of one look first.

        Raises:
            S2bnnError: If the folder vanishes.
        """
        last: dict[Path, State] = {}
        spent = 0.0
        while True:
            self._pause(max(_SHORTEST_PAUSE, spent * (1 / _SHARE - 1)))
            begin = time.perf_counter()
            now = self._look()
            spent = time.perf_counter() - begin
            arrived = [
                path
                for path, state in now.items()
                if state == last.get(path) and state != self._done.get(path)
            ]
            # Of a picture that is still being written, the former state stays what was seen.
            self._done = {path: self._done[path] for path in now if path in self._done}
            self._done.update((path, now[path]) for path in arrived)
            last = now
            yield from sorted(arrived, key=lambda path: (now[path][1], path))

    def _look(self) -> dict[Path, State]:
        """The state of each picture that is not empty.

        Raises:
            S2bnnError: If the folder has vanished.
        """
        found: dict[Path, State] = {}
        for path in pictures_below(self.folder):
            try:
                status = path.stat()
            except OSError:  # it is gone, and may come again
                continue
            if status.st_size:
                found[path] = status.st_size, status.st_mtime_ns, status.st_ino
        # After all, so that a folder that vanishes meanwhile is not one that was emptied.
        try:
            os.scandir(self.folder).close()
        except OSError as error:
            raise S2bnnError(
                f"the folder {self.folder} has vanished; connect it again, and start again"
            ) from error
        return found
