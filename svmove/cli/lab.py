"""`svmove lab`: a throwaway guest, pools and libvirt daemon, to try things on."""

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from svmove.cli import plan
from svmove.cli.context import options, print_json, stderr, stdout
from svmove.units import show_duration

if TYPE_CHECKING:
    from svmove.lab import Lab, LabStatus

app = typer.Typer(
    help="A throwaway guest with pools and a libvirt daemon of its own, to try svmove on.",
    no_args_is_help=True,
)

Folder = Annotated[
    Path | None,
    typer.Option(
        "--dir", envvar="SVMOVE_LAB", metavar="DIR", help="where the lab lives, if not in /var/lib/svmove-lab"
    ),
]


def _lab(context: typer.Context, folder: Path | None) -> "Lab":
    from svmove.lab import Lab

    return Lab.open(folder, connect=options(context).uri if options(context).connect else None)


def _say(text: str) -> None:
    stderr().print(text, markup=False)


@app.command()
def up(context: typer.Context, folder: Folder = None, json: plan.Json = False) -> None:
    """Start it, or what is missing of it, and wait until the guest writes."""
    found = _lab(context, folder).up(_say)
    _show(found, json=json)


@app.command()
def status(
    context: typer.Context,
    folder: Folder = None,
    json: plan.Json = False,
    uri: Annotated[bool, typer.Option("--uri", help="print the URI for --connect, and nothing else")] = False,
) -> None:
    """Say what is there."""
    found = _lab(context, folder).status()
    if uri:
        print(found.uri)
    else:
        _show(found, json=json)


@app.command()
def check(context: typer.Context, folder: Folder = None, json: plan.Json = False) -> None:
    """Fail unless the guest wrote since the last check, and read back all as it had written it."""
    found = _lab(context, folder).check()
    if json:
        print_json({"schema": 1, "since": found.since, "disks": [dataclasses.asdict(disk) for disk in found.disks]})
        return
    for disk in found.disks:
        print(
            f"{disk.target}: the guest went on writing: {disk.wrote} blocks written, {disk.verified} verified, "
            f"0 errors, slowest write {show_duration(disk.worst_write)}"
        )


@app.command()
def down(
    context: typer.Context,
    folder: Folder = None,
    keep_cache: Annotated[bool, typer.Option("--keep-cache", help="keep the downloaded guest kernel")] = False,
) -> None:
    """End it, and leave nothing behind."""
    _lab(context, folder).down(_say, keep_cache=keep_cache)


def _show(found: "LabStatus", *, json: bool) -> None:
    if json:
        print_json({"schema": 1, **_plain(dataclasses.asdict(found)), "running": found.running})
        return
    from svmove.view import tables

    rows = [
        (
            disk.target,
            disk.pool or "",
            disk.path,
            str(found.samples[disk.target].writes) if disk.target in found.samples else "",
        )
        for disk in found.disks
    ]
    print(f"lab {found.root}: guest {found.guest or 'none'} ({found.accelerator or '-'}), {found.uri}")
    if rows:
        tables.show(stdout(), tables.table(("disk", "pool", "path", "writes"), rows, right=("writes",)))


def _plain(value: object) -> dict[str, object]:
    """Paths as text, all through."""

    def of(item: object) -> object:
        if isinstance(item, Path):
            return str(item)
        if isinstance(item, dict):
            return {str(key): of(inner) for key, inner in item.items()}
        if isinstance(item, list | tuple):
            return [of(inner) for inner in item]
        return item

    found = of(value)
    assert isinstance(found, dict)
    return found
