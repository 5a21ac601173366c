"""`svmove.ports_host.Host` of another host: each method is one message to the agent there."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, cast

from svmove.errors import HostError, UnreachableError
from svmove.host.nodes import Values
from svmove.host.remote.calls import Agent, Session
from svmove.host.remote.line import Line
from svmove.location import Secret
from svmove.ports_host import Host


def remote_host(line: Line, secrets: Values) -> Host:
    """Beside what `Host` says its methods raise UnreachableError. `secrets`: the values of libvirt's secrets there."""
    return cast(Host, _RemoteHost(line, secrets))


class _RemoteHost:
    def __init__(self, line: Line, secrets: Values) -> None:
        self._secrets = secrets
        self._line = line
        self._agent = Agent(line, self._renewed)
        self._keys: dict[str, Secret | None] = {}
        # Of the locks that are held: one that was lost with its session must not be taken for one that is held.
        self._locking: list[Session] = []

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name.startswith("_") or not hasattr(Host, name):
            raise AttributeError(name)
        return lambda *args, **named: self._call(name, *args, **named)

    def unlock(self, path: str, luks: Secret | None) -> None:
        if self._keys.get(path, self) != luks:
            self._keys[path] = luks
            self._call("unlock", path, luks)

    def probe(self, path: str) -> "_Probe":
        session = self._agent.session()
        return _Probe(session, session.call("probe", (path,), {}, self._secrets, None))

    @contextmanager
    def locked(self, path: str) -> Iterator[None]:
        session = self._agent.session()
        held = session.call("locked", (path,), {}, self._secrets, None)
        self._locking.append(session)
        try:
            yield
            if session.lost is not None:
                raise UnreachableError(session.lost)
        finally:
            self._locking.remove(session)
            with suppress(UnreachableError):
                session.call("unlocked", (held,), {}, self._secrets, None)

    def wake_after(self, uuid: str, seconds: float | None) -> bool:
        target = self._line.target
        if seconds is not None and not self._call("can_wake"):
            raise HostError(
                f"{target.host} has no virsh, by which a guest goes on there when the connection breaks in its pause",
                remedy="apt-get install libvirt-clients on that host",
            )
        return bool(self._call("wake_after", uuid, seconds, target.local_uri))

    def _call(self, name: str, *args: Any, **named: Any) -> Any:
        session = self._agent.session()
        if any(held is not session for held in self._locking):
            raise UnreachableError(f"a lock was lost with the connection to {self._line.target.host}")
        return session.call(name, args, named, self._secrets, None)

    def _renewed(self, session: Session) -> None:
        for path, luks in self._keys.items():
            session.call("unlock", (path, luks), {}, self._secrets, None)


class _Probe:
    """See `svmove.ports_host.Probe`."""

    def __init__(self, session: Session, held: int) -> None:
        self._session, self._held = session, held

    def took(self, wait: float) -> float | None:
        found: float | None = self._session.call("took", (wait,), {}, _none, self._held)
        return found

    def give_up(self) -> None:
        with suppress(UnreachableError, HostError):  # with its session it is gone
            self._session.call("give_up", (), {}, _none, self._held)
            self._session.call("let_go", (self._held,), {}, _none, None)


def _none(_secret: Secret) -> bytes:
    raise HostError("no secret is asked for here")
