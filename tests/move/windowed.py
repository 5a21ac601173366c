"""A world with windows, which begins at 22:13:20 UTC on a Tuesday."""

from collections.abc import Callable
from dataclasses import replace

from svmove.policy import Policy
from svmove.requests import Method
from svmove.windows import BandwidthWindow, CutoverWindow, Windows
from tests.fake import BLOCK
from tests.move.stage import Stage

SLOW = BLOCK // 8  # stops a fake mirror
OPENS = 40.0  # 22:14:00
LIVE = [Method.MIRROR, Method.SYNCHRONOUS, Method.SNAPSHOT]


def policy(*windows: CutoverWindow | BandwidthWindow) -> Policy:
    return replace(
        Policy(),
        windows=Windows(
            bandwidth=tuple(w for w in windows if isinstance(w, BandwidthWindow)),
            cutover=tuple(w for w in windows if isinstance(w, CutoverWindow)),
        ),
    )


def cutover(begin: str = "22:14", end: str = "23:00") -> CutoverWindow:
    return CutoverWindow(from_=begin, to=end, zone="UTC")


def limit(rate: int | None, begin: str, end: str) -> BandwidthWindow:
    return BandwidthWindow(from_=begin, to=end, zone="UTC", rate=rate)


def pivoted(stage: Stage) -> list[float]:
    """When each pivot was asked for is noted from now on."""
    times: list[float] = []
    stage.world.before["request_pivot"] = lambda: times.append(stage.world.time)
    return times


def later(stage: Stage, seconds: float, act: Callable[[], object]) -> None:
    """Once, at the first look after that time."""
    done: list[bool] = []

    def look() -> None:
        if stage.world.time >= seconds and not done:
            done.append(True)
            act()

    stage.world.before["next"] = look


def only(stage: Stage) -> str:
    (move,) = stage.mover().open_moves()
    return move


def said(stage: Stage) -> list[str]:
    return [seen.text for seen in stage.told if seen.text and seen.target is None]
