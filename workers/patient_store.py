"""The object store of an attempt: away for minutes, it delays the attempt and ends nothing."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import TypeVar

import stamina

from app.contracts.objects import ObjectStore, StoreUnavailableError
from workers.measure.control import Cancelled, Control, Drained

T = TypeVar("T")
_LOOK_SECONDS = 0.2  # how late a cancel is noticed while the store keeps us waiting
_FIRST_WAIT_SECONDS = 0.2
_LONGEST_WAIT_SECONDS = 3.0  # a cancel is heard within 3 s more; and how late we notice that the store is back


class PatientStore:
    """An `ObjectStore` whose calls are repeated until they succeed, for `seconds` at most.

    Every call may be repeated: `put_once` that meets its own object raises ObjectExistsError, and adopting that is
    right. Beside what the store raises, calls raise Cancelled at once, and Drained instead of a further try: who is
    asked to leave cannot wait for a store.
    """

    def __init__(self, store: ObjectStore, control: Control, seconds: float) -> None:
        self.impatient = store
        self._control = control
        self._seconds = seconds

    def get(self, key: str) -> bytes:
        return self._patiently(lambda: self.impatient.get(key))

    def put(self, key: str, body: bytes) -> None:
        self._patiently(lambda: self.impatient.put(key, body))

    def put_once(self, key: str, body: bytes) -> None:
        self._patiently(lambda: self.impatient.put_once(key, body))

    def download(self, key: str, target: Path) -> None:
        self._patiently(lambda: self.impatient.download(key, target))

    def upload(self, key: str, source: Path) -> None:
        self._patiently(lambda: self.impatient.upload(key, source))

    def exists(self, key: str) -> bool:
        return self._patiently(lambda: self.impatient.exists(key))

    def size(self, key: str) -> int:
        return self._patiently(lambda: self.impatient.size(key))

    def keys(self, prefix: str) -> Iterator[str]:
        """Listed whole: a page in the middle cannot be asked for again."""
        return iter(self._patiently(lambda: list(self.impatient.keys(prefix))))

    def delete(self, key: str) -> None:
        self._patiently(lambda: self.impatient.delete(key))

    def for_bucket(self, bucket: str) -> PatientStore:
        return PatientStore(self.impatient.for_bucket(bucket), self._control, self._seconds)

    def _patiently(self, call: Callable[[], T]) -> T:
        deadline = time.monotonic() + self._seconds
        for attempt in stamina.retry_context(
            on=StoreUnavailableError,
            attempts=None,
            timeout=self._seconds,
            wait_initial=_FIRST_WAIT_SECONDS,
            wait_max=_LONGEST_WAIT_SECONDS,
        ):
            with attempt:
                if attempt.num > 1 and self._control.draining.is_set():
                    raise Drained
                return self._watched(call, deadline)
        raise AssertionError("stamina ends by returning or raising")

    def _watched(self, call: Callable[[], T], deadline: float) -> T:
        """In a thread that can be left behind: a connection to a store that fell silent blocks for long."""
        answer: Future[T] = Future()
        threading.Thread(target=_answered, args=(call, answer), name="store", daemon=True).start()
        while True:
            if self._control.cancelled.is_set():
                raise Cancelled
            if time.monotonic() > deadline:
                raise StoreUnavailableError(f"the object store did not finish within {self._seconds:.0f} s")
            try:
                return answer.result(_LOOK_SECONDS)
            except TimeoutError:
                if answer.done():  # the call's own, not ours
                    raise


def once(store: ObjectStore) -> ObjectStore:
    """The same store for what is not worth waiting for."""
    return store.impatient if isinstance(store, PatientStore) else store


def _answered(call: Callable[[], T], answer: Future[T]) -> None:
    try:
        answer.set_result(call())
    except BaseException as error:
        answer.set_exception(error)
