"""What runs on the other host: `LocalHost`, called by messages. It ends when svmove does, or is not heard of any more.

Each call has a thread of its own: one that hangs in the kernel keeps no other one waiting. Nothing that is started here
outlives it, but for the waking of a guest, which is waited for.
"""

import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack, suppress
from typing import Any

from svmove.errors import HostError
from svmove.host.local import LocalHost
from svmove.host.remote import wire
from svmove.host.remote.waking import Waking
from svmove.location import Secret


class _Call:
    """One that is under way; its answers to what it asks back come in by `told`."""

    def __init__(self, agent: "Agent", number: int) -> None:
        self._agent, self._number = agent, number
        self._told = threading.Condition()
        self._answers: list[wire.Message] = []

    def answer(self, message: wire.Message) -> None:
        with self._told:
            self._answers.append(message)
            self._told.notify()

    def ask(self, function: int, *args: Any) -> Any:
        """Calls one of svmove's functions. Raises HostError when it failed there."""
        # One at a time: what asks is the one thread of the call.
        self._agent.send({"id": self._number, "ask": function, "args": [wire.encode(one) for one in args]})
        with self._told:
            while not self._answers:
                self._told.wait()
            message = self._answers.pop()
        if "failed" in message:
            raise HostError(str(message["failed"]))
        return wire.decode(message["value"])


class Agent:
    def __init__(self, writer: wire.Writer) -> None:
        self._writer = writer
        self._calls: dict[int, _Call] = {}
        self._values: dict[int, int] = {}  # by thread: which call it works for
        self._held: dict[int, Any] = {}
        self._locks = ExitStack()
        self._numbers = iter(range(1, 1 << 62))
        self._host = LocalHost(self._secret)
        self._waking = Waking(self._by_monitor)
        self.heard = time.monotonic()

    def send(self, message: wire.Message) -> None:
        with suppress(OSError):  # nobody hears it any more: the end is seen by who reads
            self._writer.send(message)

    def take(self, message: wire.Message) -> None:
        self.heard = time.monotonic()
        if "pulse" in message:
            self.send({"pulse": message["pulse"]})
        elif "call" in message:
            self._calls[message["id"]] = call = _Call(self, message["id"])
            threading.Thread(target=self._carry_out, args=(call, message), daemon=True).start()
        elif (asking := self._calls.get(message["id"])) is not None:
            asking.answer(message)

    def finish(self) -> None:
        self._waking.finish()

    def _carry_out(self, call: _Call, message: wire.Message) -> None:
        def function(number: int) -> Callable[..., Any]:
            return lambda *args: call.ask(number, *args)

        self._values[threading.get_ident()] = message["id"]
        try:
            args = wire.decode(message["args"], function)
            named = {key: wire.decode(value, function) for key, value in message["named"].items()}
            value = self._method(message)(*args, **named)
            answer: wire.Message = {"value": wire.encode(value, self._keep)}
        except Exception as error:  # noqa: BLE001 (told, whatever it is)
            answer = {"error": wire.encode_error(error)}
        finally:
            self._calls.pop(message["id"], None)
            self._values.pop(threading.get_ident(), None)
        self.send({"id": message["id"], **answer})

    def _method(self, message: wire.Message) -> Callable[..., Any]:
        name = str(message["call"])
        if name.startswith("_"):
            raise HostError(f"no such call: {name}")
        held = message.get("of")
        place: Any = self._held[held] if held is not None else self if hasattr(self, f"do_{name}") else self._host
        found: Callable[..., Any] = getattr(place, f"do_{name}" if place is self else name)
        return found

    def _keep(self, _function: Callable[..., Any]) -> int:
        raise TypeError("a function can't be sent from here")

    def _secret(self, secret: Secret) -> bytes:
        """svmove has asked libvirt for it, and tells it for this once."""
        call = self._calls[self._values[threading.get_ident()]]
        value = call.ask(0, secret)
        assert isinstance(value, bytes)
        return value

    def _by_monitor(self, uuid: str) -> bool:
        with suppress(HostError):
            process = self._host.process(uuid)
            return process is None or self._host.go_on(process)
        return False

    # What a message can't carry as it is

    def do_probe(self, path: str) -> int:
        return self._hold(self._host.probe(path))

    def do_locked(self, path: str) -> int:
        lock: AbstractContextManager[None] = self._host.locked(path)
        lock.__enter__()
        return self._hold(lock)

    def do_unlocked(self, held: int) -> None:
        self._held.pop(held).__exit__(None, None, None)

    def do_let_go(self, held: int) -> None:
        self._held.pop(held, None)

    def do_wake_after(self, uuid: str, seconds: float | None, uri: str) -> bool:
        return self._waking.after(uuid, uri, seconds)

    def do_can_wake(self) -> bool:
        return any(os.access(f"{folder}/virsh", os.X_OK) for folder in os.get_exec_path())

    def _hold(self, held: Any) -> int:
        number = next(self._numbers)
        self._held[number] = held
        return number


def main() -> None:
    stdin, stdout = sys.stdin.buffer, sys.stdout.buffer
    # A command that is run here must not read what is for us, nor write into it.
    reader = os.fdopen(os.dup(stdin.fileno()), "rb", buffering=0)
    writer = os.fdopen(os.dup(stdout.fileno()), "wb")
    nowhere = os.open(os.devnull, os.O_RDWR)
    os.dup2(nowhere, 0)
    os.dup2(nowhere, 1)
    with suppress(OSError):  # it leads its session's group already
        os.setpgid(0, 0)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    writer.write(wire.GREETING)
    writer.flush()
    agent = Agent(wire.Writer(writer))
    threading.Thread(target=_watch, args=(agent,), daemon=True).start()
    with suppress(OSError, ValueError, TypeError, KeyError):
        while (message := wire.receive(reader)) is not None:
            agent.take(message)
    _end(agent)


def _watch(agent: Agent) -> None:
    """A network that is cut says nothing: no end of the stream, for hours."""
    while time.monotonic() - agent.heard < wire.SILENCE:
        time.sleep(wire.PULSE / 2)
    _end(agent)


def _end(agent: Agent) -> None:
    agent.finish()
    if os.getpgrp() == os.getpid():
        os.killpg(0, signal.SIGKILL)  # comparisons, probes, and this
    os._exit(0)
