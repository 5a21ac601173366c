"""A made-up fleet for libvirt's test driver: any number of guests and volumes, in a file of a few megabytes.

That driver gives every pool 100 GiB. So the volumes are small; what is counted, and what is placed, is the same.
"""

import random
from pathlib import Path
from xml.sax.saxutils import quoteattr

from svmove.units import MiB

POOLS = 20
DISKS = 10  # of each guest


def write(path: Path, guests: int, *, seed: int = 1) -> str:
    """The URI that opens it. 10 disks each guest, over 20 pools; one of a hundred can't move."""
    dice = random.Random(seed)  # noqa: S311 (nothing secret)
    volumes: dict[int, list[str]] = {pool: [] for pool in range(POOLS)}
    domains = []
    # As many bytes as fill the pools to two thirds when there are 1,000 guests.
    for guest in range(guests):
        disks = []
        for number in range(DISKS):
            pool, name = dice.randrange(POOLS), f"g{guest:04d}-{number}.qcow2"
            allocation = round(dice.paretovariate(1.5) * 45 * MiB)
            capacity = max(allocation, dice.choice((128, 256, 512)) * MiB)
            volumes[pool].append(_volume(pool, name, capacity, min(allocation, 2000 * MiB)))
            disks.append(_disk(pool, name, f"vd{'abcdefghij'[number]}", shareable=dice.random() < 0.01))
        domains.append(_domain(guest, disks, tier=dice.choice(("gold", "bronze"))))
    pools = [
        f"<pool type='dir'><name>p{pool:02d}</name><target><path>/nonexistent/p{pool:02d}</path></target>"
        + "".join(volumes[pool])
        + "</pool>"
        for pool in range(POOLS)
    ]
    path.write_text("<node>\n" + "\n".join([*domains, *pools]) + "\n</node>\n")
    return f"test://{path}"


def _domain(guest: int, disks: list[str], tier: str) -> str:
    tags = f"<app:app xmlns:app='https://example.org/app'><app:tier>{tier}</app:tier></app:app>"
    return (
        f"<domain type='test'><name>g{guest:04d}</name><memory>1048576</memory><os><type>hvm</type></os>"
        f"<metadata>{tags}</metadata><devices>{''.join(disks)}</devices></domain>"
    )


def _disk(pool: int, name: str, target: str, *, shareable: bool) -> str:
    return (
        "<disk type='file' device='disk'><driver name='qemu' type='qcow2'/>"
        f"<source file={quoteattr(f'/nonexistent/p{pool:02d}/{name}')}/><target dev='{target}' bus='virtio'/>"
        + ("<shareable/>" if shareable else "")
        + "</disk>"
    )


def _volume(pool: int, name: str, capacity: int, allocation: int) -> str:
    return (
        f"<volume type='file'><name>{name}</name><capacity>{capacity}</capacity><allocation>{allocation}</allocation>"
        f"<target><path>/nonexistent/p{pool:02d}/{name}</path><format type='qcow2'/></target></volume>"
    )
