"""One process works on a move."""

import subprocess
import sys
from pathlib import Path

import pytest

from svmove.errors import JournalError, RefusedError
from svmove.journal import working_on

_HOLD = """
import sys
from pathlib import Path
from svmove.journal import working_on
with working_on(Path(sys.argv[1]), "m"):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_second_process_is_refused_with_the_firsts_pid_until_it_dies(tmp_path: Path) -> None:
    argv = [sys.executable, "-c", _HOLD, str(tmp_path)]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as first:
        assert first.stdout is not None
        assert first.stdout.readline() == "held\n"
        with pytest.raises(RefusedError, match=f"process {first.pid} works on move m"), working_on(tmp_path, "m"):
            pass
        with working_on(tmp_path, "another"):
            pass
        first.kill()
        first.wait()
    with working_on(tmp_path, "m"):
        pass
    assert list((tmp_path / "locks").iterdir()) == []


def test_a_folder_that_takes_no_lock_is_told(tmp_path: Path) -> None:
    (tmp_path / "locks").touch()
    with pytest.raises(JournalError, match="lock"), working_on(tmp_path, "m"):
        pass
