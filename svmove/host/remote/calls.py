"""Calls of the agent on another host: started when it is first needed, and anew after it was lost."""

import queue
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from svmove.errors import UnreachableError
from svmove.host.remote import ship, wire
from svmove.host.remote.line import BROKEN, Line
from svmove.host.remote.trouble import not_started

Functions = dict[int, Callable[..., Any]]
# From the start of Python there until it greets: 0.2 s, and more on a busy host.
_STARTS = 30.0


class Session:
    """One agent, from its greeting to its end. Methods raise UnreachableError."""

    def __init__(self, line: Line) -> None:
        self._line = line
        self._channel = line.python(ship.BOOT)
        self._stream = self._channel.makefile("rb")
        self._writer = wire.Writer(self._channel.makefile("wb"))
        self._waiting: dict[int, queue.SimpleQueue[wire.Message | None]] = {}
        self._lock = threading.Lock()
        self._number = 0
        self._heard = time.monotonic()
        self.lost: str | None = None
        self._greet()
        for work in (self._read, self._watch):
            threading.Thread(target=work, name="svmove-agent", daemon=True).start()

    def call(self, name: str, args: tuple[Any, ...], named: dict[str, Any], secret: Callable[..., Any], of: Any) -> Any:
        """Returns what the method does. Raises what it raises there, and what a function that it calls raises here."""
        functions: Functions = {0: secret}

        def number(function: Callable[..., Any]) -> int:
            functions[len(functions)] = function
            return len(functions) - 1

        answers: queue.SimpleQueue[wire.Message | None] = queue.SimpleQueue()
        with self._lock:
            self._number += 1
            mine = self._number
            self._waiting[mine] = answers
        try:
            sent = [wire.encode(one, number) for one in args]
            keyed = {key: wire.encode(one, number) for key, one in named.items()}
            self._send({"id": mine, "call": name, "args": sent, "named": keyed, "of": of})
            return self._await(mine, answers, functions)
        finally:
            with self._lock:
                del self._waiting[mine]

    def _await(self, mine: int, answers: "queue.SimpleQueue[wire.Message | None]", functions: Functions) -> Any:
        ours: Exception | None = None
        while (message := answers.get()) is not None:
            if "ask" in message:
                try:
                    value = functions[message["ask"]](*wire.decode(message["args"]))
                    self._send({"id": mine, "value": wire.encode(value)})
                except UnreachableError:
                    raise
                except Exception as error:  # noqa: BLE001 (raised here, once the call there has ended by it)
                    ours = error
                    self._send({"id": mine, "failed": str(error)})
            elif "error" in message:
                raise ours or wire.decode_error(message["error"])
            else:
                return wire.decode(message["value"])
        raise UnreachableError(self.lost or "lost the host")

    def _send(self, message: wire.Message) -> None:
        if self.lost is None:
            try:
                self._writer.send(message)
            except BROKEN as error:
                self._lose(str(error))
            else:
                return
        raise UnreachableError(self.lost or "lost the host")

    def end(self) -> None:
        self._lose("the connection was closed")

    def _greet(self) -> None:
        host = self._line.target.host
        try:
            self._channel.settimeout(_STARTS)
            self._channel.sendall(ship.parcel())
            said = b""
            while not said.endswith(wire.GREETING):
                if not (one := self._channel.recv(1)):
                    raise not_started(self._channel, host)
                said = (said + one)[-len(wire.GREETING) :]
            self._channel.settimeout(None)
        except BROKEN as error:
            self._channel.close()
            raise UnreachableError(f"svmove can't start its work on {host}: {error or type(error).__name__}") from error

    def _read(self) -> None:
        why = "it ended"
        try:
            while (message := wire.receive(self._stream)) is not None:
                self._heard = time.monotonic()
                if (answers := self._waiting.get(message.get("id", 0))) is not None:
                    answers.put(message)
        except (*BROKEN, ValueError, TypeError) as error:
            why = str(error)
        self._lose(why)

    def _watch(self) -> None:
        while self.lost is None:
            if time.monotonic() - self._heard > wire.SILENCE:
                self._lose(f"no sign of life for {wire.SILENCE:.0f} s")
                self._line.cut()
                return
            with suppress(UnreachableError):
                self._send({"pulse": 1})
            time.sleep(wire.PULSE)

    def _lose(self, why: str) -> None:
        with self._lock:
            if self.lost is None:
                self.lost = f"lost the connection to {self._line.target.host}: {why}"
            waiting = list(self._waiting.values())
        for answers in waiting:
            answers.put(None)
        with suppress(Exception):  # it is gone in any case
            self._channel.close()


class Agent:
    """The session of now. `renewed` is called with each new one, before anything else."""

    def __init__(self, line: Line, renewed: Callable[[Session], None]) -> None:
        self._line, self._renewed = line, renewed
        self._lock = threading.Lock()
        self._session: Session | None = None

    def session(self) -> Session:
        """Raises UnreachableError, HostError."""
        with self._lock:
            if self._session is None or self._session.lost is not None:
                self._session = None
                session = Session(self._line)
                self._renewed(session)
                self._session = session
            return self._session

    def close(self) -> None:
        with self._lock:
            if self._session is not None:
                self._session.end()
                self._session = None
