"""An object store in a folder: `root/bucket/key`, with the same promises as S3."""

from __future__ import annotations

import errno
import os
import shutil
import stat
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from app.contracts.objects import ObjectExistsError, ObjectMissingError, StoreUnavailableError
from app.gateways.object_keys import check_bucket, check_key, check_prefix

# No bucket can have this name, so that a half-written file is never listed as an object.
_TEMPORARY = ".partial"
_OPEN_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_OPEN_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
_COPY_BYTES = 1 << 20


class FolderStore:
    """Writes appear whole or not at all; every folder on the way to a key is opened without following links."""

    def __init__(self, root: Path, bucket: str, allowed_buckets: frozenset[str]) -> None:
        self._bucket = check_bucket(bucket)
        self._allowed = allowed_buckets
        root.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._root = root.resolve(strict=True)
        for name in (_TEMPORARY, bucket):
            (self._root / name).mkdir(mode=0o700, exist_ok=True)

    def for_bucket(self, bucket: str) -> FolderStore:
        if bucket != self._bucket and bucket not in self._allowed:
            raise PermissionError(f"bucket {bucket!r} is not among those the settings allow")
        return FolderStore(self._root, bucket, self._allowed | {self._bucket})

    def get(self, key: str) -> bytes:
        with self._opened(key) as file:
            return file.read()

    def download(self, key: str, target: Path) -> None:
        partial = target.with_name(f".{target.name}.{uuid.uuid4().hex}")
        with self._opened(key) as source:
            try:
                with partial.open("xb") as copy:
                    shutil.copyfileobj(source, copy, _COPY_BYTES)
                partial.replace(target)
            finally:
                partial.unlink(missing_ok=True)

    def put(self, key: str, body: bytes) -> None:
        self._write(key, lambda file: file.write(body), _replace)

    def put_once(self, key: str, body: bytes) -> None:
        self._write(key, lambda file: file.write(body), _link)

    def upload(self, key: str, source: Path) -> None:
        with source.open("rb") as original:
            self._write(key, lambda file: shutil.copyfileobj(original, file, _COPY_BYTES), _replace)

    def exists(self, key: str) -> bool:
        try:
            self.size(key)
        except ObjectMissingError:
            return False
        return True

    def size(self, key: str) -> int:
        with self._opened(key) as file:
            return os.fstat(file.fileno()).st_size

    def keys(self, prefix: str) -> Iterator[str]:
        """In the order of S3: by the bytes of the key."""
        check_prefix(prefix)
        above = prefix.split("/")[:-1]
        found: list[str] = []
        try:
            with self._folder(above, create=False) as top:
                for folder, _, names, descriptor in os.fwalk(".", dir_fd=top, follow_symlinks=False):
                    here = "/".join((*above, *Path(folder).parts, ""))
                    found += (here + name for name in names if _is_file(name, descriptor))
        except (FileNotFoundError, NotADirectoryError):
            return
        yield from sorted((key for key in found if key.startswith(prefix)), key=str.encode)

    def delete(self, key: str) -> None:
        """A missing object is as good as a deleted one, as in S3."""
        segments = check_key(key)
        try:
            with self._folder(segments[:-1], create=False) as folder:
                os.unlink(segments[-1], dir_fd=folder)
            self._prune(segments[:-1])
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            return
        except OSError as error:
            raise StoreUnavailableError(f"cannot delete {key!r}: {error}") from error

    @contextmanager
    def _folder(self, segments: list[str], *, create: bool) -> Iterator[int]:
        """Descriptor of the folder at `segments`, reached step by step, so that no link on the way is followed."""
        descriptor = os.open(self._root / self._bucket, _OPEN_FOLDER)
        try:
            for segment in segments:
                if create:
                    try:
                        os.mkdir(segment, mode=0o700, dir_fd=descriptor)
                        os.fsync(descriptor)
                    except FileExistsError:
                        pass
                inner = os.open(segment, _OPEN_FOLDER, dir_fd=descriptor)
                os.close(descriptor)
                descriptor = inner
            yield descriptor
        finally:
            os.close(descriptor)

    @contextmanager
    def _opened(self, key: str) -> Iterator[BinaryIO]:
        segments = check_key(key)
        try:
            with self._folder(segments[:-1], create=False) as folder:
                file = os.fdopen(os.open(segments[-1], _OPEN_FILE, dir_fd=folder), "rb")
        except OSError as error:
            raise _reading(key, error) from error
        with file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise ObjectMissingError(key)
            yield file

    def _write(self, key: str, fill: Callable[[BinaryIO], object], place: Callable[[Path, str, int], None]) -> None:
        segments = check_key(key)
        temporary = self._root / _TEMPORARY / uuid.uuid4().hex
        try:
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                fill(file)
                file.flush()
                os.fsync(file.fileno())
            self._placed(temporary, segments, place)
        except (NotADirectoryError, IsADirectoryError) as error:
            raise ValueError(f"key {key!r} runs through an object, a link, or ends at a folder") from error
        except FileExistsError as error:
            raise ObjectExistsError(key) from error
        except OSError as error:
            raise StoreUnavailableError(f"cannot write {key!r}: {error}") from error
        finally:
            temporary.unlink(missing_ok=True)

    def _placed(self, temporary: Path, segments: list[str], place: Callable[[Path, str, int], None]) -> None:
        for last in (False, False, True):
            try:
                with self._folder(segments[:-1], create=True) as folder:
                    place(temporary, segments[-1], folder)
                    os.fsync(folder)
                return
            except FileNotFoundError:
                # A folder on the way was empty for a moment, and a deletion took it away.
                if last:
                    raise

    def _prune(self, segments: list[str]) -> None:
        """Folders that have become empty: S3 has none either."""
        for depth in range(len(segments), 0, -1):
            with self._folder(segments[: depth - 1], create=False) as above:
                try:
                    os.rmdir(segments[depth - 1], dir_fd=above)
                except OSError as error:
                    if error.errno in {errno.ENOTEMPTY, errno.EEXIST}:
                        return
                    raise


def _replace(temporary: Path, name: str, folder: int) -> None:
    os.rename(temporary, name, dst_dir_fd=folder)


def _link(temporary: Path, name: str, folder: int) -> None:
    # link(2) fails if the name is taken, whoever took it: this is `If-None-Match: *`.
    os.link(temporary, name, dst_dir_fd=folder)


def _reading(key: str, error: OSError) -> Exception:
    if error.errno in {errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.EISDIR, errno.ENXIO}:
        return ObjectMissingError(key)
    return StoreUnavailableError(f"cannot read {key!r}: {error}")


def _is_file(name: str, folder: int) -> bool:
    try:
        return stat.S_ISREG(os.lstat(name, dir_fd=folder).st_mode)
    except FileNotFoundError:  # deleted while we were listing
        return False
