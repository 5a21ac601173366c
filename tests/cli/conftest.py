"""Commands run inside the test's own process here, which must not be forked."""

from collections.abc import Callable

import pytest

from svmove.cli import guard


@pytest.fixture(autouse=True)
def no_guard(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    def posted(*_acts: object) -> Callable[[str | None], None]:
        return lambda _move: None

    if request.path.name != "test_guard.py":
        monkeypatch.setattr(guard, "post", posted)
