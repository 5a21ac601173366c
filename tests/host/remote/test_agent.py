"""The agent in a Python of its own, without SSH: what is shipped is all that it needs."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from svmove.host.remote import ship, wire
from svmove.location import Secret
from svmove.model import Process
from tests.host.test_encrypted import created
from tests.real.world import until

# Not svmove's own Python, which would find svmove by itself.
_PYTHON = [sys.executable, "-I", "-S", "-c"]


class Agent:
    def __init__(self, process: "subprocess.Popen[bytes]") -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self.process, self._in, self._out = process, process.stdin, process.stdout
        self._writer = wire.Writer(process.stdin)
        self._number = 0

    def ask(self, name: str, *args: Any, of: int | None = None, **named: Any) -> int:
        self._number += 1
        sent = [wire.encode(one, lambda _function: 1) for one in args]
        keyed = {key: wire.encode(value, lambda _function: 2) for key, value in named.items()}
        self.tell({"id": self._number, "call": name, "args": sent, "named": keyed, "of": of})
        return self._number

    def tell(self, message: wire.Message) -> None:
        self._writer.send(message)

    def hear(self) -> wire.Message:
        message = wire.receive(self._out)
        assert message is not None
        return message

    def __call__(self, name: str, *args: Any, of: int | None = None) -> Any:
        self.ask(name, *args, of=of)
        message = self.hear()
        if "error" in message:
            raise wire.decode_error(message["error"])
        return wire.decode(message["value"])

    def hang_up(self) -> None:
        self._in.close()
        self.process.wait(10)


@contextmanager
def started(environment: dict[str, str] | None = None) -> Iterator[Agent]:
    pipe = subprocess.PIPE
    argv = [*_PYTHON, ship.BOOT]
    with subprocess.Popen(argv, stdin=pipe, stdout=pipe, stderr=pipe, cwd="/", env=environment) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        try:
            process.stdin.write(ship.parcel())
            process.stdin.flush()
            assert process.stdout.readline() == wire.GREETING, process.stderr.read().decode()
            yield Agent(process)
        finally:
            process.kill()


@pytest.fixture
def agent() -> Iterator[Agent]:
    with started() as found:
        yield found


def test_what_is_shipped_is_all_that_the_agent_imports_and_no_more() -> None:
    asked = "import sys, svmove.host.remote.agent; print(*(m for m in sys.modules if m.split('.')[0] == 'svmove'))"
    done = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) == set(ship.MODULES)


def test_it_answers_as_the_host_does(agent: Agent, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"x" * 5000)
    status = (tmp_path / "a").stat()
    assert agent("size", str(tmp_path / "a")) == 5000
    assert agent("identity", str(tmp_path / "a")) == f"{status.st_dev}:{status.st_ino}"
    assert agent("identity", str(tmp_path / "b")) is None
    assert agent("taken", str(tmp_path / "a")).size == 5000
    with pytest.raises(Exception, match="No such file"):
        agent("size", str(tmp_path / "b"))


@pytest.mark.parametrize("name", ["_secret", "__init__", "_by_monitor", "nothing", "take"])
def test_nothing_else_can_be_called(agent: Agent, name: str) -> None:
    with pytest.raises(Exception, match=r"no such call|no attribute"):
        agent(name)


def test_a_call_that_asks_back_is_answered_in_its_midst(agent: Agent, tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).write_bytes(b"y" * (1 << 20))
    call = agent.ask(
        "compare_local", str(tmp_path / "a"), "raw", str(tmp_path / "b"), "raw", 0, 1 << 20, print, layer=True
    )
    asked = 0
    while "ask" in (message := agent.hear()):
        assert (message["id"], message["ask"]) == (call, 1)
        asked += 1
        agent.tell({"id": call, "value": True})
    assert asked > 0
    assert message == {"id": call, "value": None}


def test_a_secret_is_asked_for_when_it_is_needed_and_is_in_no_argument(agent: Agent, tmp_path: Path) -> None:
    path = str(tmp_path / "locked")
    create = ["qemu-img", "create", "-q", "-f", "luks", "--object", "secret,id=s,data=hunter2", "-o", "key-secret=s"]
    argv = [*create, "-o", "iter-time=10", path, "1M"]
    until(partial(created, argv), "qemu-img has measured the CPU", 120.0)
    key = Secret(usage="u", uuid=None)
    agent("unlock", path, key)
    call = agent.ask("check_key", path, "raw")
    assert agent.hear() == {"id": call, "ask": 0, "args": [wire.encode(key)]}
    agent.tell({"id": call, "value": wire.encode(b"hunter2")})
    assert agent.hear() == {"id": call, "value": None}
    call = agent.ask("check_key", path, "raw")
    agent.hear()
    agent.tell({"id": call, "failed": "no such secret"})
    assert agent.hear()["error"]["text"] == "no such secret"


def test_a_probe_is_held_there_until_it_is_let_go(agent: Agent, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"x")
    probe = agent("probe", str(tmp_path / "a"))
    assert 0 <= agent("took", 5.0, of=probe) < 5
    agent("give_up", of=probe)
    agent("let_go", probe)
    with pytest.raises(Exception, match="KeyError"):
        agent("took", 5.0, of=probe)


def test_a_lock_is_free_when_the_agent_is_left(agent: Agent, tmp_path: Path) -> None:
    path = str(tmp_path / "a")
    subprocess.run(["qemu-img", "create", "-q", "-f", "raw", path, "1M"], check=True)
    write = ["qemu-io", "-f", "raw", "-c", "write 0 512", path]
    agent("locked", path)
    assert b"lock" in subprocess.run(write, capture_output=True, check=False).stderr
    agent.hang_up()
    subprocess.run(write, check=True, capture_output=True)


def test_a_thread_that_hangs_keeps_no_other_call_waiting(agent: Agent, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "hangs")
    hangs = agent.ask("size", str(tmp_path / "hangs"))  # an open that nobody answers
    assert agent("identity", str(tmp_path)) is not None
    agent.tell({"pulse": 3})
    assert agent.hear() == {"pulse": 3}
    assert hangs == 1
    agent.hang_up()


def fake_virsh(folder: Path) -> dict[str, str]:
    """It writes down what it is asked, and says that the guest runs."""
    virsh = folder / "virsh"
    virsh.write_text(f'#!/bin/sh\necho "$@" >>{folder}/asked\necho running\n')
    virsh.chmod(0o755)
    return {**os.environ, "PATH": f"{folder}:{os.environ['PATH']}"}


def asked(folder: Path) -> list[str]:
    path = folder / "asked"
    return [line.split()[3] for line in path.read_text().splitlines()] if path.exists() else []


def test_a_guest_goes_on_when_its_time_is_over_also_without_anybody_who_listens(tmp_path: Path) -> None:
    with started(fake_virsh(tmp_path)) as agent:
        assert agent("wake_after", "1-2-3", 0.4, "qemu:///system")
        agent.hang_up()
        assert asked(tmp_path) == ["resume", "domstate"]


def test_a_host_says_whether_it_could_wake_a_guest(tmp_path: Path) -> None:
    with started(fake_virsh(tmp_path)) as agent:
        assert agent("can_wake")
    with started({**os.environ, "PATH": str(tmp_path / "none")}) as agent:
        assert not agent("can_wake")


def test_it_stands_still_when_that_was_called_off_in_time(tmp_path: Path) -> None:
    with started(fake_virsh(tmp_path)) as agent:
        assert agent("wake_after", "1-2-3", 0.3, "qemu:///system")
        assert agent("wake_after", "1-2-3", None, "qemu:///system")
        time.sleep(0.5)
        assert asked(tmp_path) == []
        assert agent("wake_after", "1-2-3", 0.1, "qemu:///system")
        time.sleep(0.5)
        assert not agent("wake_after", "1-2-3", None, "qemu:///system")
        assert agent("wake_after", "1-2-3", None, "qemu:///system")
        assert asked(tmp_path) == ["resume", "domstate"]


def test_a_terminal_s_signals_do_not_end_it(agent: Agent) -> None:
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
        agent.process.send_signal(number)
    assert agent("process", "no such guest") is None
    assert isinstance(agent("can_see", Process(pid=1, uid=0, gid=0)), bool)


def test_a_python_that_is_too_old_says_so() -> None:
    old = ship.BOOT.replace("sys.version_info < (3, 11)", "sys.version_info < (99,)")
    done = subprocess.run([*_PYTHON, old], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr.startswith("Python 3.")) == (ship.TOO_OLD, True)
