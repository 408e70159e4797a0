"""Starts what has died again, as a kubelet would."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from tests.part import Part

LOOK_SECONDS = 0.3


class Supervisor:
    """Off by default: most tests want to see what a dead part does to the others."""

    def __init__(self, parts: Mapping[str, Part]) -> None:
        self._parts = parts
        self._active = threading.Event()
        self._over = threading.Event()
        self._turn = threading.Lock()

    @contextmanager
    def watching(self) -> Iterator[None]:
        thread = threading.Thread(target=self._watch, name="supervisor", daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._over.set()
            thread.join()

    @contextmanager
    def active(self) -> Iterator[None]:
        """Parts that die while the context lasts are started again."""
        self._active.set()
        try:
            yield
        finally:
            self._active.clear()
            with self._turn:  # the turn under way ends before a test goes on
                pass

    def _watch(self) -> None:
        while not self._over.wait(LOOK_SECONDS):
            with self._turn:
                if self._active.is_set():
                    for part in list(self._parts.values()):
                        if not part.is_alive():
                            part.start()
