"""Checks of what lies below a disk's top, and inside its files."""

import shlex
from collections.abc import Iterator

from svmove.moves import Finding
from svmove.plan.case import Case, refuse
from svmove.plan.choice import Choice
from svmove.plan.disk_checks import FORMATS
from svmove.requests import Method


def layers(case: Case) -> Iterator[Finding]:
    """External snapshots and templates below a disk, internal snapshots in it."""
    for choice in case.choices:
        target = choice.disk.target
        for layer in choice.layers:
            if layer.source not in case.inventory.images:
                yield refuse(
                    "unreadable",
                    f"{target}: qemu-img can't read {layer.source}, which lies below it",
                    "check the file: qemu-img info -U",
                    target,
                )
                continue
            image = case.inventory.images[layer.source]
            if layer.source_format not in FORMATS and not case.request.flatten:
                yield refuse(
                    "unsupported-format",
                    f"{target}: {layer.source}, which lies below it, has format {layer.source_format}; "
                    f"svmove moves {' and '.join(FORMATS)}",
                    "make one file of them: --flatten",
                    target,
                )
            elif image.encrypted:
                yield refuse("encrypted", f"{target}: {layer.source}, which lies below it, is encrypted", None, target)
            elif image.data_file is not None and not (case.request.flatten and case.inventory.domain.live):
                # Of a guest that is off neither lock nor stamp would be on that file.
                yield refuse(
                    "data-file",
                    f"{target}: {layer.source}, which lies below it, keeps its data in {image.data_file!r}",
                    "make one file of them, while the guest runs: --flatten",
                    target,
                )
            else:
                yield from _internal(case, layer.source, choice)
        if choice.layers and not case.request.flatten and choice.destination and choice.destination.format == "raw":
            yield refuse(
                "raw-chain",
                f"{target} has files below it: {', '.join(choice.disk.chain)}; raw can't have any",
                "leave --format out, or make one file of them: --flatten",
                target,
            )
        if choice.layers and case.request.flatten and case.inventory.domain.snapshots:
            yield refuse(
                "flatten-snapshots",
                f"{target}: domain {case.inventory.domain.name} has snapshots: "
                f"{', '.join(case.inventory.domain.snapshots)}; one file can't keep them",
                "leave --flatten out, or have libvirt forget them, which leaves their files for --flatten: "
                "virsh snapshot-delete --metadata",
                target,
            )
        if choice.image is not None and choice.disk.path is not None:
            yield from _internal(case, choice.disk.path, choice)


def _changing(choice: Choice, flattened: bool) -> str:
    """The option by which no file is copied as it is."""
    if flattened:
        return "--flatten"
    return "--format" if choice.destination and choice.destination.format != choice.disk.format else "--encrypt"


def _internal(case: Case, path: str, choice: Choice) -> Iterator[Finding]:
    """A file that is copied as it is keeps them; a mirror, and what makes one file of a chain, copy what the guest
    sees."""
    target, snapshots = choice.disk.target, case.inventory.images[path].internal_snapshots
    offline = case.method is Method.OFFLINE
    flattened = case.request.flatten and bool(choice.layers)
    if not snapshots or (offline and (choice.as_it_is or choice.destination is None)):
        return
    yield refuse(
        "internal-snapshots",
        f"{target}: {path} has internal snapshots: {', '.join(snapshots)}"
        + ("" if offline else "; QEMU's mirror copies the disk as it is now, and none of them"),
        f"leave {_changing(choice, flattened)} out: then the file is copied as it is, and keeps them; or "
        f"delete them: qemu-img snapshot -d NAME {shlex.quote(path)}"
        if offline
        else "shut the guest down: then the same command moves it",
        target,
    )
