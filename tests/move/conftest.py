"""For the sweeps, which run thousands of moves: the same calls in each of them, and no disk is waited for."""

from collections.abc import Callable
from concurrent.futures import Executor, Future
from itertools import count
from typing import Any

import pytest

from svmove.journal import schema
from svmove.move import compare

_durable = schema.durable


class Inline(Executor):
    """Compares at once in the caller's thread, so that call N is the same call in each run."""

    def __init__(self, *_: Any, **__: Any) -> None:
        super().__init__()

    def submit(self, work: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        try:
            future.set_result(work(*args, **kwargs))
        except BaseException as error:  # noqa: BLE001 (as the real one does)
            future.set_exception(error)
        return future


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    def loose(connection: Any, record: Any) -> None:
        _durable(connection, record)
        connection.execute("PRAGMA synchronous=OFF")  # 10,000 commits: power cuts are not what is tried here

    monkeypatch.setattr(schema, "durable", loose)
    monkeypatch.setattr(compare, "ThreadPoolExecutor", Inline)
    # All within one second of the fake clock: six random digits would be the same twice in one run out of a hundred.
    numbers = count()
    monkeypatch.setattr("svmove.mover.secrets.token_hex", lambda _size: f"{next(numbers):06x}")
