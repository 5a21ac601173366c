"""The guest's whole system in RAM: busybox, three drivers, fio, the QEMU guest agent, one init script.

The modules are named in the order of their dependencies: a wrong order leaves no /dev/vda, and a guest
that does not insist on a block device then writes silently to a file of that name in RAM.
"""

import hashlib
import lzma
import re
import shutil
import subprocess
from collections.abc import Iterator
from importlib import resources
from pathlib import Path

from svmove.lab.command import ENVIRONMENT, find, run
from svmove.lab.errors import LabError
from svmove.lab.kernel import Kernel

_DRIVERS = ("virtio_pci", "virtio_blk", "virtio_console")
# Only a guest that lives with files loads these: the others boot in 2 s.
_FILE_SYSTEM = ("crc32c_generic", "ext4")
# Loaded by nobody but a test that has a CD-ROM drive, through the guest's agent.
_CD = ("virtio_scsi", "sr_mod")
_MODULES = (("order", _DRIVERS), ("files", _FILE_SYSTEM), ("cd", _CD))
_PROGRAMS = ("fio", "qemu-ga")
_DEPENDS = re.compile(rb"\0depends=([^\0]*)\0")
_LIBRARY = re.compile(r"(?:=> )?(/\S+) \(0x")


def provide(kernel: Kernel, cache: Path) -> Path:
    """The initramfs for `kernel`, built when its inputs changed (0.8 s, 90 MiB, most of it fio's libraries).
    One caller at a time.

    Raises:
        LabError: a program is missing, or cpio failed.
    """
    busybox, programs = _busybox(), [_program(name) for name in _PROGRAMS]
    files = [*programs, *sorted({library for program in programs for library in _libraries(program)})]
    init = resources.files("svmove.lab").joinpath("guest/init").read_bytes()
    # The package manager replaces a file by a new one: its path, size and time tell versions apart.
    stamps = [f"{path} {path.stat().st_size} {path.stat().st_mtime_ns}" for path in (busybox, *files)]
    key = hashlib.sha256("\n".join([kernel.version, str(_MODULES), *stamps]).encode() + init).hexdigest()[:16]
    image = cache / f"initramfs-{key}"
    if image.exists():
        return image
    cache.mkdir(mode=0o755, parents=True, exist_ok=True)
    for old in cache.glob("initramfs-*"):
        old.unlink(missing_ok=True)
    scratch = cache / "building"
    shutil.rmtree(scratch, ignore_errors=True)
    _lay_out(scratch / "tree", busybox, files, init, kernel)
    _pack(scratch / "tree", scratch / "packed")
    (scratch / "packed").rename(image)
    shutil.rmtree(scratch)
    return image


def _lay_out(tree: Path, busybox: Path, files: list[Path], init: bytes, kernel: Kernel) -> None:
    for name in ("bin", "modules", "proc", "sys", "dev", "tmp", "run", "var/run", "root"):
        (tree / name).mkdir(parents=True)
    shutil.copy(busybox, tree / "bin/busybox")
    for path in files:
        # At the path where the loader looks for it, which is a link on a system with merged /usr.
        target = tree / ("bin/" + path.name if path.name in _PROGRAMS else str(path).lstrip("/"))
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)
    for order, drivers in _MODULES:
        names = []
        for name, content in modules(kernel, drivers):
            (tree / "modules" / f"{name}.ko").write_bytes(content)
            names.append(name)
        (tree / "modules" / order).write_text("".join(f"{name}\n" for name in names))
    (tree / "init").write_bytes(init)
    (tree / "init").chmod(0o755)


def _pack(tree: Path, packed: Path) -> None:
    """Not compressed: an emulated CPU takes longer to unpack than the host takes to copy."""
    names = sorted(str(path.relative_to(tree)) for path in tree.rglob("*"))
    with packed.open("wb") as output:
        try:
            subprocess.run(
                ["cpio", "--create", "--format=newc", "--null", "--quiet", "--owner=0:0"],
                input="\0".join([".", *names]).encode() + b"\0",
                stdout=output, stderr=subprocess.PIPE, check=True, cwd=tree, env=ENVIRONMENT,
            )  # fmt: skip
        except FileNotFoundError as error:
            raise LabError("cpio is not installed", remedy="run scripts/bootstrap") from error
        except subprocess.CalledProcessError as error:
            raise LabError(f"cpio: {error.stderr.decode(errors='replace').strip()}") from error


def modules(kernel: Kernel, drivers: tuple[str, ...] = _DRIVERS) -> Iterator[tuple[str, bytes]]:
    """The drivers as modules, each after those it needs. One without a file is built into the kernel."""
    files = {path.name.partition(".ko")[0].replace("-", "_"): path for path in kernel.modules.rglob("*.ko*")}
    done: set[str] = set()

    def visit(name: str) -> Iterator[tuple[str, bytes]]:
        if name in done or name not in files:
            return
        done.add(name)
        content = _uncompressed(files[name])
        found = _DEPENDS.search(content)
        for needed in found[1].decode().split(",") if found and found[1] else ():
            yield from visit(needed.replace("-", "_"))
        yield name, content

    for driver in drivers:
        yield from visit(driver)


def _uncompressed(module: Path) -> bytes:
    if module.suffix == ".xz":
        return lzma.decompress(module.read_bytes())
    if module.suffix == ".zst":
        try:
            return subprocess.run(["zstd", "-dcq", module], capture_output=True, check=True, env=ENVIRONMENT).stdout
        except (OSError, subprocess.CalledProcessError) as error:
            raise LabError(f"can't unpack {module}: {error}", remedy="apt-get install zstd") from error
    return module.read_bytes()


def _libraries(program: Path) -> list[Path]:
    """What ldd names, by the path that the loader will look up."""
    return [Path(name) for name in _LIBRARY.findall(run(["ldd", program]))]


def _program(name: str) -> Path:
    found = find(name)
    if found is None:
        raise LabError(f"{name} is not installed", remedy="run scripts/bootstrap")
    return found


def _busybox() -> Path:
    found = find("busybox")
    if found is None or "statically linked" not in _linkage(found):
        raise LabError("no static busybox is installed", remedy="apt-get install busybox-static")
    return found


def _linkage(program: Path) -> str:
    try:
        return run(["ldd", program])
    except LabError:  # ldd's answer for a static program: "not a dynamic executable", exit code 1
        return "statically linked"
