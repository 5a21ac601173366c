"""`svmove pools` and `svmove disks`: what is where."""

import typer

from svmove.cli import plan
from svmove.cli.context import Options, options, print_json, stdout
from svmove.cli.exits import Exit
from svmove.cli.hosts import each
from svmove.errors import HostError
from svmove.model import Image, Pool, Volume
from svmove.units import show_size


def pools(context: typer.Context, json: plan.Json = False) -> int:
    """Show the storage pools: capacity, allocation, available."""
    from svmove.view import document, tables

    found: list[tuple[str, Pool]] = []

    def look(host: str, given: Options) -> Exit:
        found.extend((host, pool) for pool in given.hypervisor().pools())
        return Exit.OK

    code = each(options(context), look)
    if json:
        print_json(document.pools(found))
        return code
    several = len(options(context).hosts()) > 1
    rows = [
        (
            *([host] if several else []),
            pool.name,
            pool.type,
            "active" if pool.active else "inactive",
            *(show_size(size) if pool.active else "" for size in (pool.capacity, pool.allocation, pool.available)),
            pool.path or "",
        )
        for host, pool in found
    ]
    headings = (*(["host"] if several else []), "pool", "type", "state", "capacity", "allocation", "available", "path")
    tables.show(stdout(), tables.table(headings, rows, right=("capacity", "allocation", "available")))
    return code


def disks(context: typer.Context, domain: plan.Domain, json: plan.Json = False) -> None:
    """Show the disks of a guest: where each is, as what, how large, and what lies below it."""
    from svmove.view import document, tables

    reached = options(context).reach()
    hypervisor, host = reached.hypervisor, reached.host
    found = hypervisor.find_domain(domain)
    volumes: dict[str, Volume] = {}
    images: dict[str, Image] = {}
    for disk in found.live or found.inactive:
        if disk.path is None:
            continue
        if (volume := hypervisor.volume_at(disk.path)) is not None:
            volumes[disk.path] = volume
        host.unlock(disk.path, disk.luks)
        try:
            images[disk.path] = host.image(disk.path, disk.format)
        except HostError:  # another user's file, or not an image: what libvirt says must do
            continue
    described = document.disks(found, volumes, images)
    if json:
        print_json(described)
        return
    rows = [
        (
            disk["target"],
            disk["pool"] or "",
            disk["source"] or "",
            disk["format"],
            _size(disk["virtual_bytes"]),
            _size(disk["allocated_bytes"]),
            " ← ".join(disk["chain"]) or disk["job"] or "",
        )
        for disk in described["disks"]
    ]
    headings = ("disk", "pool", "source", "format", "virtual", "allocated", "below it, or job")
    tables.show(stdout(), tables.table(headings, rows, right=("virtual", "allocated")))


def _size(size: int | None) -> str:
    return "" if size is None else show_size(size)
