"""Which hosts a command is about: libvirt's URIs, or names of the policy's inventory (`[hosts]`)."""

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any
from urllib.parse import urlsplit

from svmove.cli.context import Options, print_json, stderr, stdout
from svmove.cli.exits import Exit, of_error
from svmove.errors import NotFoundError, SvmoveError, UsageError

# Takes the document of one host.
Show = Callable[[dict[str, Any]], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Connected:
    name: str  # as the inventory has it, else the host's own
    uri: str


def resolve(words: Sequence[str], inventory: Mapping[str, str]) -> tuple[Connected, ...]:
    """Each once. A word with a colon is a URI, any other a name or a glob of names. Raises UsageError."""
    found: dict[str, Connected] = {}
    for word in words:
        if ":" in word:
            found.setdefault(word, Connected(name=_host(word), uri=word))
            continue
        names = [name for name in inventory if fnmatchcase(name, word)]
        if not names:
            missing = NotFoundError("host", word, inventory)
            raise UsageError(
                f"{missing.text} in the policy", remedy=missing.remedy or "write its URI: qemu+ssh://HOST/system"
            )
        for name in names:
            found.setdefault(inventory[name], Connected(name=name, uri=inventory[name]))
    return tuple(found.values())


def _host(uri: str) -> str:
    try:
        return urlsplit(uri).hostname or "localhost"
    except ValueError:
        return "localhost"


def each(given: Options, work: Callable[[str, Options], Exit | int]) -> int:
    """One host after the other; what one has to complain of is told, and keeps no other one waiting. The gravest exit
    code. With one host alone its error is raised. Whoever interrupts it on one host has no other one begun."""
    hosts = given.hosts()
    if len(hosts) == 1:
        return int(work(hosts[0].name, given))
    codes = []
    for host in hosts:
        try:
            codes.append(int(work(host.name, given.alone(host.uri))))
        except SvmoveError as error:
            codes.append(int(of_error(error)))
            remedy = f" ({error.remedy})" if error.remedy else ""
            stderr().print(f"{host.name}: {error.text}{remedy}", markup=False)
        sys.stdout.flush()
        if codes[-1] == Exit.INTERRUPTED:
            break
    return max(codes, key=_GRAVITY.index)


def each_documented(given: Options, work: Callable[[str, Options, Show | None], Exit | int], *, json: bool) -> int:
    """As `each`. `work` is given what takes its document, or None when its host's name has been printed for people."""
    told: list[tuple[str, dict[str, Any]]] = []
    several = len(given.hosts()) > 1

    def on(host: str, alone: Options) -> Exit | int:
        if several and not json:
            stdout().print(f"{host}:", markup=False)
        return work(host, alone, (lambda document: told.append((host, document))) if json else None)

    code = each(given, on)
    if json and several:
        print_json({"schema": 1, "hosts": [{"host": host, **document} for host, document in told]})
    elif json:
        print_json(told[0][1])
    return code


_GRAVITY = [int(code) for code in (Exit.OK, Exit.REFUSED, Exit.ROLLED_BACK, Exit.INTERRUPTED, Exit.UNREACHABLE)]
_GRAVITY += [int(code) for code in (Exit.HELD, Exit.USAGE, Exit.FAULT)]
