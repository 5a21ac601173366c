"""The SSH connection to a host: the one place where a command for it is quoted.

Opened when it is first needed, and again when it is needed after it broke.
"""

import shlex
import threading
from collections.abc import Sequence
from contextlib import suppress

import paramiko

from svmove.addresses import Target
from svmove.errors import UnreachableError
from svmove.host.remote import hops, login
from svmove.policy import HostPolicy
from svmove.retries import Retries

# What paramiko raises of a connection that is gone.
BROKEN = (OSError, EOFError, paramiko.SSHException)


class Line:
    """For use by several threads at once. Methods raise UnreachableError."""

    def __init__(self, target: Target, policy: HostPolicy, retries: Retries) -> None:
        self.target, self._policy, self._retries = target, policy, retries
        self._hops = hops.hops(target, hops.read_config())
        self._lock = threading.Lock()
        self._clients: list[paramiko.SSHClient] = []
        self._had_one = False

    def run(self, argv: Sequence[str]) -> paramiko.Channel:
        """A command on that host, by sudo if the policy says so; its streams are the channel."""
        words = ["sudo", "-n", "--", *argv] if self._policy.sudo else list(argv)
        transport = self._transport()
        try:
            channel = transport.open_session(timeout=login.PATIENCE)
            channel.exec_command(shlex.join(words))
        except BROKEN as error:
            raise UnreachableError(f"lost the SSH connection to {self.target.host}: {error}") from error
        return channel

    def python(self, program: str, *arguments: str) -> paramiko.Channel:
        """`-I`: nothing of the user's own is imported there."""
        return self.run([self._policy.python, "-I", "-c", program, *arguments])

    def cut(self) -> None:
        """It does not answer, or is needed no more; the next command opens it anew."""
        with self._lock:
            clients, self._clients = self._clients, []
        login.close(clients)

    def _transport(self) -> paramiko.Transport:
        with self._lock:
            transport = self._clients[-1].get_transport() if self._clients else None
            if transport is None or not transport.is_active():
                with suppress(Exception):
                    login.close(self._clients)
                self._clients = self._opened()
                transport = self._clients[-1].get_transport()
            assert transport is not None
            self._had_one = True
            return transport

    def _opened(self) -> list[paramiko.SSHClient]:
        # What can't be reached at all is told at once; what could be is waited for.
        if not self._had_one:
            return login.open_(self._hops)
        return self._retries.of_connection(UnreachableError)(login.open_, self._hops)
