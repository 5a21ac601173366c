"""The folder with the scratch files of a verification."""

import os
from collections.abc import Mapping
from pathlib import Path

from svmove.errors import HostError
from svmove.host import command
from svmove.model import Process


def make(folder: str, files: Mapping[str, int], owner: Process) -> None:
    remove(folder)  # of an svmove that died
    try:
        # QEMU's user must reach the folder; what lies beside it is nobody's business.
        Path(folder).parent.mkdir(mode=0o711, parents=True, exist_ok=True)
        Path(folder).mkdir(mode=0o700)
        for path, virtual_bytes in files.items():
            command.create_qcow2(path, virtual_bytes)
            os.chown(path, owner.uid, owner.gid)
        # Last: from here on QEMU's user can put links there, which root must not follow.
        os.chown(folder, owner.uid, owner.gid)
    except OSError as error:
        raise HostError(f"{error.filename or folder}: {error.strerror}") from error


def remove(folder: str) -> None:
    if Path(folder).is_symlink():
        raise HostError(f"{folder} is a link, which svmove did not make")
    try:
        for path in Path(folder).glob("*"):
            if path.suffix == ".qcow2" or path.is_socket():
                path.unlink(missing_ok=True)
        Path(folder).rmdir()
    except FileNotFoundError:
        return
    except OSError as error:
        raise HostError(f"{error.filename or folder}: {error.strerror}") from error
