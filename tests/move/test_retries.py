"""Every retry is in the history of its move."""

from pathlib import Path

from svmove.errors import UnreachableError
from svmove.outcomes import State
from svmove.retries import Retry
from tests.move.stage import Stage


def test_what_was_tried_again_is_in_the_history_and_told(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    busy = Retry(at=5.0, attempt=1, wait=0.2004, text="cannot acquire state change lock")
    stage.world.before["create_volume"] = lambda: stage.world.retries.append(busy)
    outcome = stage.move()
    assert outcome.state is State.DONE
    (entry,) = stage.facts(outcome.move, "retried")
    assert entry == {"at": 5.0, "attempt": 1, "wait": 0.2, "error": "cannot acquire state change lock"}
    assert "tried again after 200 ms: cannot acquire state change lock" in [told.text for told in stage.told]


def test_a_connection_that_was_lost_is_in_the_history_too(tmp_path: Path) -> None:
    stage = Stage(tmp_path)

    def lose() -> None:
        stage.world.before = {}
        raise UnreachableError("lost libvirt")

    stage.world.before["create_volume"] = lose
    outcome = stage.move()
    assert outcome.state is State.DONE
    assert stage.facts(outcome.move, "reconnected") == [{"error": "lost libvirt"}]
