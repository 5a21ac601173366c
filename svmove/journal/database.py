"""What the journal needs of a database, beside SQL: whose it is, when a write lasts, who is alive, how to call."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial, wraps
from pathlib import Path
from typing import Concatenate, ParamSpec, Protocol, TypeVar

import sqlalchemy as sa
from sqlalchemy import exc

from svmove import addresses
from svmove.errors import JournalError
from svmove.ports import Cancel

P = ParamSpec("P")
T = TypeVar("T")


class LostError(JournalError):
    """The server went away in the middle: what was asked may have been done, or not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Worker:
    """A process that works on a move."""

    pid: int | None
    host: str


class Database(ABC):
    """`engine` and `url` as SQLAlchemy has them; `host` is the name of the machine that this process is on."""

    url: sa.URL
    engine: sa.Engine
    host: str
    retrying = False  # what is done now was begun once, and the server was lost over it

    @property
    @abstractmethod
    def name(self) -> str:
        """For people, without a password."""

    @property
    @abstractmethod
    def folder(self) -> Path:
        """Where files that belong to moves are kept, on this host."""

    def address(self, uri: str) -> str:
        """What a libvirt daemon is called in the journal, however one logs in to its host."""
        return addresses.address(uri)

    # Who works on a move. A claim goes when its process does, however it ends.

    @abstractmethod
    def working_on(self, move: str) -> AbstractContextManager[None]:
        """Held while a process walks the move. Raises RefusedError when another does, JournalError."""

    @abstractmethod
    def owner(self, move: str) -> Worker | None:
        """Who works on the move. Raises JournalError."""

    @abstractmethod
    def await_release(self, move: str) -> None:
        """Returns when nobody works on the move any more; costs nothing until then. Raises JournalError."""

    @abstractmethod
    def alive(self, connection: sa.Connection, moves: Collection[str], /) -> frozenset[str]:
        """Those that a process works on."""

    # How one that waits is called.

    @abstractmethod
    def ring(self, move: str) -> None:
        """Calls the process that waits for that move's turn, if there is one. Never raises."""

    @abstractmethod
    def await_call(self, move: str, seconds: float, watch: Collection[int], cancel: Cancel, /) -> None:
        """Returns when `ring` was called for the move since the last time, when one of the processes `watch` has
        ended (as far as this host can tell), at a `cancel`, or after `seconds`. Raises JournalError."""

    @property
    @abstractmethod
    def sees_deaths(self) -> bool:
        """Whether `await_call` tells of processes that end."""

    # Transactions. All raise JournalError, and IntegrityError as it is.

    @contextmanager
    def transaction(self) -> Iterator[sa.Connection]:
        """Durable when it has returned."""
        try:
            with self.engine.begin() as connection:
                yield connection
        except exc.IntegrityError:
            raise
        except exc.SQLAlchemyError as error:
            raise self.journal_error(error) from error

    @contextmanager
    def exclusive(self) -> Iterator[sa.Connection]:
        """Likewise, and no other such transaction runs at the same time."""
        with self.transaction() as connection:
            self.lock(connection)
            yield connection

    @contextmanager
    @abstractmethod
    def hasty(self) -> Iterator[sa.Connection]:
        """What it writes may be lost; waits neither for the disk nor for others. Raises SQLAlchemyError."""

    def now(self, _connection: sa.Connection, at: float) -> float:
        """Unix time by the one clock that all go by, which is `at` when they are all on this host."""
        return at

    @abstractmethod
    def lock(self, connection: sa.Connection) -> None: ...

    @abstractmethod
    def journal_error(self, error: exc.SQLAlchemyError) -> JournalError: ...

    def again(self, work: Callable[[], T]) -> T:
        """Tries `work`, which is idempotent, until the server is back."""
        return work()

    def hurry(self, *, on: bool = True) -> None:  # noqa: ARG002 (of a server)
        """A guest suffers while it is on: a server that is lost is not waited for."""
        return

    @abstractmethod
    def close(self) -> None: ...


class Held(Protocol):
    @property
    def database(self) -> Database: ...


H = TypeVar("H", bound=Held)


def idempotent(method: Callable[Concatenate[H, P], T]) -> Callable[Concatenate[H, P], T]:
    """A method that may be called again when the server was lost over it: it looks whether it was done
    (`Database.retrying`), or does no harm a second time."""

    @wraps(method)
    def tried(self: H, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return self.database.again(partial(method, self, *args, **kwargs))

    return tried
