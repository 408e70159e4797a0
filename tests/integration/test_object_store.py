"""One conformance suite for every object store: a folder, and a real S3 server (MinIO)."""

from __future__ import annotations

import os
import secrets
import socket
import stat
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import SecretStr, ValidationError

from app.contracts.objects import ObjectExistsError, ObjectMissingError, ObjectStore, StoreUnavailableError
from app.contracts.store import StoreConfig
from app.gateways.objects import FolderStore, open_store
from tests.minio_server import minio_server

_BAD_KEYS = ["", "/a", "a/", "a//b", "../a", "a/../b", "a/./b", "a\0b", "a\\b", "a\nb", "x" * 256, "d/" * 600 + "x"]


@pytest.fixture(scope="module")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StoreConfig]:
    with minio_server(tmp_path_factory.mktemp("minio"), "corepoint", "shared-data", "private") as config:
        yield config.model_copy(update={"allowed_buckets": frozenset({"shared-data"})})


@pytest.fixture(params=["folder", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ObjectStore:
    if request.param == "folder":
        return open_store(
            StoreConfig(kind="folder", root=tmp_path / "objects", allowed_buckets=frozenset({"shared-data"}))
        )
    return open_store(request.getfixturevalue("s3"))


@pytest.fixture
def prefix() -> str:
    """A corner of the store that no other test uses."""
    return f"t{secrets.token_hex(6)}/"


class TestEveryStore:
    def test_gives_back_what_was_put(self, store: ObjectStore, prefix: str) -> None:
        store.put(f"{prefix}a/b ü+%2e.json", b"\x00one")
        assert store.get(f"{prefix}a/b ü+%2e.json") == b"\x00one"
        assert store.size(f"{prefix}a/b ü+%2e.json") == 4
        assert store.exists(f"{prefix}a/b ü+%2e.json")

    def test_put_replaces(self, store: ObjectStore, prefix: str) -> None:
        store.put(f"{prefix}a", b"one")
        store.put(f"{prefix}a", b"two!")
        assert store.get(f"{prefix}a") == b"two!"

    def test_keeps_an_empty_object(self, store: ObjectStore, prefix: str) -> None:
        store.put(f"{prefix}empty", b"")
        assert store.get(f"{prefix}empty") == b""
        assert store.exists(f"{prefix}empty")

    def test_says_when_an_object_is_missing(self, store: ObjectStore, prefix: str, tmp_path: Path) -> None:
        store.put(f"{prefix}folder/object", b"x")
        for key in (f"{prefix}none", f"{prefix}folder", f"{prefix}folder/object/inside"):
            assert not store.exists(key)
            for ask in (store.get, store.size, lambda key: store.download(key, tmp_path / "got")):
                with pytest.raises(ObjectMissingError):
                    ask(key)
        assert list(tmp_path.glob("*got*")) == []

    def test_put_once_keeps_the_first(self, store: ObjectStore, prefix: str) -> None:
        store.put_once(f"{prefix}a/manifest.json", b"first")
        with pytest.raises(ObjectExistsError):
            store.put_once(f"{prefix}a/manifest.json", b"second")
        assert store.get(f"{prefix}a/manifest.json") == b"first"

    def test_exactly_one_of_eight_wins_a_concurrent_put_once(self, store: ObjectStore, prefix: str) -> None:
        start = threading.Barrier(8)

        def write(number: int) -> int | None:
            start.wait()
            try:
                store.put_once(f"{prefix}race/manifest.json", f"{number}".encode() * 50_000)
            except ObjectExistsError:
                return None
            return number

        with ThreadPoolExecutor(8) as pool:
            winners = [number for number in pool.map(write, range(8)) if number is not None]
        assert len(winners) == 1
        assert store.get(f"{prefix}race/manifest.json") == f"{winners[0]}".encode() * 50_000

    def test_files_go_up_and_down_whole(self, store: ObjectStore, prefix: str, tmp_path: Path) -> None:
        body = os.urandom(1 << 20) * 20  # more than the 8 MiB above which S3 uploads in parts
        (tmp_path / "up").write_bytes(body)
        store.upload(f"{prefix}big", tmp_path / "up")
        (tmp_path / "down").write_bytes(b"what was here before")
        store.download(f"{prefix}big", tmp_path / "down")
        assert (tmp_path / "down").read_bytes() == body
        assert {path.name for path in tmp_path.iterdir()} <= {"up", "down", "objects"}

    def test_lists_keys_by_prefix_in_byte_order(self, store: ObjectStore, prefix: str) -> None:
        names = ["a", "a-b/c", "a.d", "b/1", "b/10", "b/2", "ü"]
        for name in reversed(names):
            store.put(prefix + name, b"")
        assert [key.removeprefix(prefix) for key in store.keys(prefix)] == [
            "a",
            "a-b/c",
            "a.d",
            "b/1",
            "b/10",
            "b/2",
            "ü",
        ]
        assert [key.removeprefix(prefix) for key in store.keys(f"{prefix}b/1")] == ["b/1", "b/10"]
        assert list(store.keys(f"{prefix}nothing/here")) == []
        assert set(store.keys("")) >= {prefix + name for name in names}

    def test_delete_is_idempotent(self, store: ObjectStore, prefix: str) -> None:
        store.put(f"{prefix}a/b", b"x")
        store.delete(f"{prefix}a/b")
        store.delete(f"{prefix}a/b")
        store.delete(f"{prefix}never/was")
        assert not store.exists(f"{prefix}a/b")
        store.put_once(f"{prefix}a/b", b"again")

    @pytest.mark.parametrize("key", _BAD_KEYS, ids=lambda key: repr(key[:12]))
    def test_refuses_a_key_that_is_not_plain(self, store: ObjectStore, key: str, tmp_path: Path) -> None:
        (tmp_path / "source").write_bytes(b"x")
        for call in (
            lambda: store.get(key),
            lambda: store.put(key, b"x"),
            lambda: store.put_once(key, b"x"),
            lambda: store.upload(key, tmp_path / "source"),
            lambda: store.download(key, tmp_path / "target"),
            lambda: store.exists(key),
            lambda: store.delete(key),
        ):
            with pytest.raises(ValueError, match="key"):
                call()

    def test_another_bucket_only_when_settings_allow_it(self, store: ObjectStore, prefix: str) -> None:
        shared = store.for_bucket("shared-data")
        shared.put(f"{prefix}a", b"there")
        assert shared.get(f"{prefix}a") == b"there"
        assert not store.exists(f"{prefix}a")
        for bucket in ("private", "..", ".partial"):
            with pytest.raises(PermissionError):
                store.for_bucket(bucket)


class TestFolder:
    def test_nobody_else_can_read_it(self, tmp_path: Path) -> None:
        FolderStore(tmp_path / "objects", "corepoint", frozenset()).put("a/b", b"x")
        modes = {
            path.is_dir(): stat.S_IMODE(path.stat().st_mode)
            for path in [tmp_path / "objects", *(tmp_path / "objects").rglob("*")]
        }
        assert modes == {True: 0o700, False: 0o600}

    def test_a_link_out_of_it_is_not_followed(self, tmp_path: Path) -> None:
        store = FolderStore(tmp_path / "objects", "corepoint", frozenset())
        outside = tmp_path / "outside"
        outside.mkdir()
        (outside / "secret").write_bytes(b"secret")
        (tmp_path / "objects/corepoint/folder").symlink_to(outside)
        (tmp_path / "objects/corepoint/file").symlink_to(outside / "secret")
        for key in ("folder/secret", "file"):
            with pytest.raises(ObjectMissingError):
                store.get(key)
        assert list(store.keys("")) == []
        assert list(store.keys("folder/")) == []
        with pytest.raises(ValueError, match="link"):
            store.put("folder/new", b"x")
        store.delete("folder/secret")
        store.put("file", b"mine")
        assert {path.name: path.read_bytes() for path in outside.iterdir()} == {"secret": b"secret"}

    def test_an_upload_that_fails_half_way_leaves_nothing(self, tmp_path: Path) -> None:
        store = FolderStore(tmp_path / "objects", "corepoint", frozenset())
        store.put("a", b"x")
        with pytest.raises(ValueError, match="object"):
            store.put("a/b", b"y")
        with pytest.raises(FileNotFoundError):
            store.upload("c", tmp_path / "none")
        assert [path.name for path in (tmp_path / "objects").rglob("*") if path.is_file()] == ["a"]

    @settings(max_examples=40, deadline=None)
    @given(key=st.text(max_size=40))
    def test_any_text_is_refused_or_stays_inside(self, key: str, tmp_path_factory: pytest.TempPathFactory) -> None:
        root = tmp_path_factory.mktemp("root")
        store = FolderStore(root / "objects", "corepoint", frozenset())
        try:
            store.put(key, b"x")
        except ValueError:
            assert list((root / "objects/corepoint").iterdir()) == []
        else:
            assert list(store.keys("")) == [key]
        assert [path.name for path in root.iterdir()] == ["objects"]


class TestS3:
    def test_a_dead_server_is_unavailable_not_missing(self) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            store = open_store(
                StoreConfig(
                    kind="s3",
                    endpoint=f"http://127.0.0.1:{probe.getsockname()[1]}",
                    access_key="a",
                    secret_key=SecretStr("b"),
                )
            )
            with pytest.raises(StoreUnavailableError):
                store.exists("a")

    def test_wrong_credentials_are_unavailable_not_missing(self, s3: StoreConfig) -> None:
        store = open_store(s3.model_copy(update={"secret_key": SecretStr("wrong-secret")}))
        with pytest.raises(StoreUnavailableError, match="refused"):
            store.get("a")

    def test_a_missing_bucket_is_unavailable_not_missing(self, s3: StoreConfig) -> None:
        with pytest.raises(StoreUnavailableError, match="NoSuchBucket"):
            open_store(s3.model_copy(update={"bucket": "no-such-bucket"})).get("a")
        with pytest.raises(StoreUnavailableError, match="NoSuchBucket"):
            list(open_store(s3.model_copy(update={"bucket": "no-such-bucket"})).keys(""))

    def test_lists_beyond_one_page(self, s3: StoreConfig, prefix: str) -> None:
        store = open_store(s3)
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda number: store.put(f"{prefix}{number:04d}", b""), range(1_001)))
        assert len(list(store.keys(prefix))) == 1_001


@pytest.mark.parametrize(
    "given_settings",
    [
        {"kind": "disk"},
        {"kind": "s3", "access_key": "a"},
        {"kind": "s3", "bucket": "../etc"},
        {"kind": "s3", "allowed_buckets": {"UPPER"}},
    ],
)
def test_settings_that_cannot_work_are_refused(given_settings: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        StoreConfig.model_validate(given_settings)


def test_settings_do_not_show_the_secret() -> None:
    assert "hunter2" not in repr(StoreConfig(kind="s3", access_key="a", secret_key=SecretStr("hunter2")))
