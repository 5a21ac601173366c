"""Checks of encrypted disks, and of the secrets that open disks and pools."""

from collections.abc import Iterator

from svmove import location
from svmove.location import Secret, SecretState
from svmove.moves import Finding, Level
from svmove.plan import holes, luks, places
from svmove.plan.case import Case, refuse
from svmove.requests import Method, Verify


def shapes(case: Case) -> Iterator[Finding]:
    for choice in case.choices:
        disk, spec, target = choice.disk, choice.destination, choice.disk.target
        goes = spec is not None and spec.luks is not None
        if disk.luks is None and not goes:
            continue
        kind = places.kind(choice.pool)
        if case.method is Method.SNAPSHOT:
            yield refuse(
                "encrypted",
                f"{target}: with LUKS a disk is not moved by the method snapshot, whose overlay would be plain",
                "leave --method and --verify out",
                target,
            )
        elif disk.luks is not None and (disk.chain or not (choice.on_file or disk.format == "raw")):
            yield refuse(
                "encrypted",
                f"{target} is encrypted, and " + ("files lie below it" if disk.chain else "a qcow2 that is no file"),
                "leave it out",
                target,
            )
        elif spec is not None and goes and kind is not None and not kind.files and spec.format != "raw":
            yield refuse(
                "encrypted",
                f"{target}: pool {choice.pool_name} has no files, and only files are made as {spec.format} with LUKS",
                "leave --format out",
                target,
            )
        elif goes and spec is not None and spec.backing is not None:
            yield refuse(
                "encrypted",
                f"{target} has files below it, which would stay plain: {', '.join(disk.chain)}",
                "make one image of them: --flatten",
                target,
            )


def told(case: Case) -> Iterator[Finding]:
    for choice in case.choices:
        disk, spec, image, target = choice.disk, choice.destination, choice.image, choice.disk.target
        if spec is None or image is None:
            continue
        if disk.luks is not None and spec.luks is None:
            text = f"{target} is encrypted at its source; its copy is not: {spec.path}"
            yield Finding(level=Level.WARN, code="decrypted", text=text, target=target)
        if spec.luks is not None and disk.luks is None and not case.request.keep_source:
            yield Finding(
                level=Level.NOTE,
                code="plain-traces",
                text=f"{target}: what was plain is deleted, not overwritten; its blocks stay on the old storage",
                target=target,
            )
        kind, found = places.kind(choice.pool), case.inventory.taken.get(spec.path)
        thin = (kind is not None and kind.thin) or (found is not None and found.thin)
        if luks.dense(disk, spec) and thin:
            yield from holes.lost(choice, "with LUKS what is empty is written as well")


def secrets(case: Case) -> Iterator[Finding]:
    """What svmove itself must read, and what libvirt must have to hand it to QEMU."""
    for choice in case.choices:
        disk, spec, target = choice.disk, choice.destination, choice.disk.target
        verified = case.verify is not Verify.NONE
        pool = choice.pool.network if choice.pool is not None else None
        network = [location.secret_of(where) for where in (disk.path, pool) if where]
        needed: dict[Secret, bool] = {}  # → whether it must be readable
        # QEMU reads both where it mirrors, and what has the same key is copied as it is; else svmove itself does.
        off, same = case.method is Method.OFFLINE, choice.as_it_is
        if spec is not None and spec.luks is not None:
            needed[spec.luks] = bool(spec.header) or (off and not same)
        if disk.luks is not None:
            reads = not same if off else verified
            needed[disk.luks] = reads or needed.get(disk.luks, False)
        needed |= {secret: True for secret in network if secret is not None}
        for secret, by_us in needed.items():
            state = case.inventory.secrets.get(secret, SecretState.READABLE)
            if state in (SecretState.MISSING, SecretState.EMPTY):
                what = "is not in libvirt's store" if state is SecretState.MISSING else "has no value"
                remedy = "virsh secret-list; virsh secret-define, secret-set-value"
                yield refuse("secret-missing", f"{target}: secret {secret} {what}", remedy, target)
            elif state is SecretState.PRIVATE and by_us:
                what, without = "read the source, to compare it", ", or move it with --verify none"
                if secret in network or off:
                    what, without = "read the image that it opens", ""
                if spec is not None and spec.header and secret == spec.luks:
                    what, without = "write the LUKS header, which libvirt makes in files alone", ""
                text = f"{target}: secret {secret} is private, so svmove can't {what}"
                yield refuse("secret-private", text, f"define it with private='no'{without}", target)
        if (why := case.inventory.locked.get(disk.path or "")) is not None and (not same if off else verified):
            text = f"{target}: secret {disk.luks} does not open {disk.path}: {why}"
            yield refuse("wrong-key", text, "set the value that it was when the image was made", target)
