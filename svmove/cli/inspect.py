"""`svmove pools` and `svmove disks`: what is where."""

import typer

from svmove.cli import plan
from svmove.cli.context import options, print_json, stdout
from svmove.errors import HostError
from svmove.model import Image, Volume
from svmove.units import show_size


def pools(context: typer.Context, json: plan.Json = False) -> None:
    """Show the storage pools: capacity, allocation, available."""
    found = options(context).hypervisor().pools()
    from svmove.view import document, tables

    if json:
        print_json(document.pools(found))
        return
    rows = [
        (
            pool.name,
            pool.type,
            "active" if pool.active else "inactive",
            *(show_size(size) if pool.active else "" for size in (pool.capacity, pool.allocation, pool.available)),
            pool.path or "",
        )
        for pool in found
    ]
    headings = ("pool", "type", "state", "capacity", "allocation", "available", "path")
    tables.show(stdout(), tables.table(headings, rows, right=headings[3:6]))


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
