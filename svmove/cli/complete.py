"""Shell completion for domains, pools and disks. An error completes to nothing."""

from collections.abc import Callable, Iterable

import typer

from svmove.cli.context import Options
from svmove.errors import SvmoveError


def domains(context: typer.Context, incomplete: str) -> list[str]:
    return _matching(context, incomplete, lambda options: options.hypervisor().domain_names())


def pools(context: typer.Context, incomplete: str) -> list[str]:
    return _matching(
        context,
        incomplete,
        lambda options: [pool.name for pool in options.hypervisor().pools() if pool.active],
    )


def all_pools(context: typer.Context, incomplete: str) -> list[str]:
    """Also those that are not active."""
    return _matching(context, incomplete, lambda options: [pool.name for pool in options.hypervisor().pools()])


def disks(context: typer.Context, incomplete: str) -> list[str]:
    def targets(options: Options) -> list[str]:
        # While an option is incomplete, click leaves the arguments before it unparsed.
        named = context.params.get("domain") or next(iter(context.args), "")
        domain = options.hypervisor().find_domain(named)
        return [disk.target for disk in domain.live or domain.inactive if disk.device == "disk"]

    return _matching(context, incomplete, targets)


def moves(context: typer.Context, incomplete: str) -> list[str]:
    return _matching(context, incomplete, lambda options: options.mover().open_moves())


def all_moves(context: typer.Context, incomplete: str) -> list[str]:
    """Also those that have ended."""
    return _matching(
        context, incomplete, lambda options: [found.move for found in options.open_journal().moves(ended=True)]
    )


def _matching(context: typer.Context, incomplete: str, read: Callable[[Options], Iterable[str]]) -> list[str]:
    given = context.find_root().params
    options = Options(
        connect=tuple(given.get("connect") or ()), policy=None, journal=given.get("journal"), verbose=False
    )
    try:
        return [name for name in read(options) if name.startswith(incomplete)]
    except (SvmoveError, OSError):
        return []
