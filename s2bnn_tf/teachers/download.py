"""One file from the network: resumed, whole, and the same ever after."""

from __future__ import annotations

import hashlib
import http.client
import os
import re
import shutil
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

from s2bnn_tf import __version__
from s2bnn_tf.errors import CheckpointError
from s2bnn_tf.files import flush, sha256, write_json
from s2bnn_tf.files import md5 as md5_of
from s2bnn_tf.progress import Progress
from s2bnn_tf.reading import Field, Number, Text, read_json

_MIB = 2**20
_BLOCK = 2**20
_TIMEOUT = 60  # seconds without a byte
_TRIES = 4  # in a row that bring nothing new
_LARGEST = 32 * 2**30  # bytes
_RECORD: dict[str, Field] = {"url": Text(), "sha256": Text(), "size": Number(low=0, whole=True)}


class _Broken(Exception):
    """A try that ended early; what arrived is kept for the next one."""


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows redirects, but never from an encrypted address to one that is not."""

    def redirect_request(self, request: Any, file: Any, code: Any, *rest: Any) -> Any:
        target = rest[-1]
        if request.full_url.startswith("https:") and not target.startswith("https:"):
            raise urllib.error.URLError(f"it redirects to {target}, which is not encrypted")
        return super().redirect_request(request, file, code, *rest)


def mirrored(url: str) -> str:
    """The address to ask: `S2BNN_MIRROR/host/path` where that variable is set, or the same.

    >>> os.environ["S2BNN_MIRROR"] = "http://mirror/s2bnn/"
    >>> mirrored("https://example.org/a/b.pth")
    'http://mirror/s2bnn/example.org/a/b.pth'
    >>> del os.environ["S2BNN_MIRROR"]
    """
    mirror = os.environ.get("S2BNN_MIRROR", "")
    return f"{mirror.rstrip('/')}/{url.partition('://')[2]}" if mirror else url


def download(url: str, path: Path, *, stated: str = "", md5: str = "", progress: Progress) -> str:
    """Download a file unless it is there, and check it.

    What arrived before an interruption is kept beside the path with the ending `.part` and
    continued. A file appears at `path` only when it is whole and checked. Its SHA-256 is
    recorded in `path.json` at the first download and compared ever after. A proxy is used as
    the environment says (`https_proxy`).

    Args:
        url: The address; `S2BNN_MIRROR` sends the request elsewhere.
        path: Where to put it. A file that somebody put there by hand is accepted.
        stated: The beginning of the SHA-256 that the publisher states, or "".
        md5: The beginning of the MD5 that the publisher states, or "".
        progress: Called with the MiB that are there and those of all.

    Returns:
        The SHA-256 of the file.

    Raises:
        CheckpointError: If it cannot be had whole, or is not what the publisher states or what
            it was before.
    """
    if not path.is_file():
        _fetch(mirrored(url), path, stated, md5, progress)
    return _check(url, path, stated, md5)


def _check(url: str, path: Path, stated: str, md5: str) -> str:
    record_path = path.with_name(f"{path.name}.json")
    found = sha256(path)
    try:
        known = read_json(record_path, _RECORD, cure=f"delete it and {path}")["sha256"]
    except FileNotFoundError:
        known = None
    other = _other_than_stated(path, found, stated, md5)
    if other or known not in (None, found):
        other = other or f"SHA-256 begins with {found[:12]}, and was another when it came"
        raise CheckpointError(
            f"{path} is another file: its {other}. Delete it and {record_path}, and run the "
            "command again."
        )
    if known is None:
        write_json(record_path, {"url": url, "sha256": found, "size": path.stat().st_size})
    return found


def _other_than_stated(path: Path, digest: str, stated: str, md5: str) -> str:
    """In what a file differs from what its publisher states; empty if in nothing."""
    if not digest.startswith(stated):
        return f"SHA-256 begins with {digest[:8]}, and the publisher states {stated}"
    found = md5_of(path) if md5 else ""
    if not found.startswith(md5):
        return f"MD5 begins with {found[:8]}, and the publisher states {md5}"
    return ""


def _fetch(url: str, path: Path, stated: str, md5: str, progress: Progress) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.part")
    left, reason, most = _TRIES, "", _size(part)
    while left:
        try:
            _try(url, part, path.name, progress)
            break
        except _Broken as broken:
            reason = str(broken)
            left = _TRIES if _size(part) > most else left - 1
            most = max(most, _size(part))
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise CheckpointError(_sentence(url, path, _reason(error))) from error
    else:
        raise CheckpointError(_sentence(url, path, reason))
    other = _other_than_stated(part, sha256(part), stated, md5)
    if other:
        part.unlink()
        raise CheckpointError(
            f"{url} gave a file whose {other}: nothing was kept; try again, or another "
            "S2BNN_MIRROR."
        )
    flush(part)
    part.with_name(f"{part.name}.version").unlink(missing_ok=True)
    os.replace(part, path)
    flush(path.parent)


def _try(url: str, part: Path, name: str, progress: Progress) -> None:
    """Ask once for what is missing, and append it.

    Raises:
        _Broken: If it ended early.
        OSError, HTTPException, ValueError: If asking again is useless.
    """
    have = _size(part)
    headers = {"User-Agent": f"s2bnn_tf/{__version__}", "Accept-Encoding": "identity"}
    version = part.with_name(f"{part.name}.version")
    if have and version.is_file():
        # The rest, or the whole of another file that is there now.
        headers |= {"Range": f"bytes={have}-", "If-Range": version.read_text().strip()}
    request = urllib.request.Request(url, headers=headers)
    opener = urllib.request.build_opener(_Redirects)
    try:
        response = opener.open(request, timeout=_TIMEOUT)
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            part.unlink()  # it is no longer the file that was begun
            raise _Broken("it does not continue what it began") from error
        if error.code in (408, 429) or error.code >= 500:
            raise _Broken(f"it answers {error.code} {error.reason}") from error
        raise
    except (ConnectionError, TimeoutError, http.client.HTTPException) as error:
        raise _Broken(_reason(error)) from error
    with response:
        total = _total(response, have)
        resumed = response.status == http.HTTPStatus.PARTIAL_CONTENT
        begin = have if resumed else 0
        if total is not None and total - begin > shutil.disk_usage(part.parent).free:
            raise ValueError(f"it has {total:,} bytes, and there is no space left for it")
        version.write_text(_version(response) + "\n")
        with part.open("ab" if resumed else "wb") as file:
            _copy(response, file, begin, total, name, progress)


def _total(response: Any, have: int) -> int | None:
    """The size of the whole file, as far as the answer says it."""
    if response.headers.get_content_type() == "text/html":
        raise ValueError("it answers with a page and not with a file")
    if response.status == http.HTTPStatus.PARTIAL_CONTENT:
        said = response.headers.get("Content-Range", "")
        match = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", said)
        if match is None or int(match[1]) != have:
            raise ValueError(f"it continues elsewhere than it was asked to ({said[:60]!r})")
        total = None if match[2] == "*" else int(match[2])
    else:
        length = response.headers.get("Content-Length", "")
        total = int(length) if length.isdigit() else None
    if (total or 0) > _LARGEST:
        raise ValueError(f"it says that it has {total:,} bytes")
    return total


def _version(response: Any) -> str:
    """What tells this version of the file from others, as the server says it."""
    strong = str(response.headers.get("ETag", ""))
    if strong and not strong.startswith("W/"):
        return strong
    return str(response.headers.get("Last-Modified", "none"))


def _copy(
    response: Any, file: Any, begin: int, total: int | None, name: str, progress: Progress
) -> None:
    done, started = begin, time.monotonic()
    try:
        while block := response.read(_BLOCK):
            file.write(block)
            done += len(block)
            if done > _LARGEST:
                raise ValueError("it does not end")
            if total:
                seconds = (time.monotonic() - started) * (total - done) / (done - begin)
                said = f"Downloading {name}, {_duration(seconds)} left, MiB"
                progress(said, done // _MIB, max(1, total // _MIB))
    except http.client.IncompleteRead as error:
        file.write(error.partial)
        raise _Broken("it ends early") from error
    except (ConnectionError, TimeoutError) as error:
        raise _Broken(_reason(error)) from error
    if total is not None and done < total:
        raise _Broken(f"it ends after {done:,} of {total:,} bytes")


def _duration(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    return f"{minutes}m{seconds:02d}s"


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _reason(error: BaseException) -> str:
    if isinstance(error, urllib.error.HTTPError):
        said = str(error.reason).splitlines() or [""]
        return f"it answers {error.code} {said[0][:100]}"
    inner = getattr(error, "reason", None)
    inner = inner if isinstance(inner, (str, OSError)) else error
    text = getattr(inner, "strerror", None) or str(inner) or type(inner).__name__
    return text.splitlines()[0][:200].rstrip(".")


def _sentence(url: str, path: Path, reason: str) -> str:
    return (
        f"Cannot download {url}: {reason}. The same command continues where it stopped; without a "
        f"network, put the file there as {path}."
    )


def digest_of(paths: list[Path]) -> str:
    """One SHA-256 of the contents of several files, in this order."""
    whole = hashlib.sha256()
    for path in paths:
        whole.update(sha256(path).encode())
    return whole.hexdigest()
