"""The one tree of errors.

SvmoveError
├── UsageError          the command line or the policy says something that has no meaning
├── RefusedError        nothing was touched, and nothing will be: the findings say why
├── NotFoundError       no such domain, pool, volume or move; the remedy has the nearest names
├── UnreachableError    libvirt or its host does not answer (any more)
├── HypervisorError     libvirt said no to one call
├── HostError           a command or file on the hypervisor's host failed
│   └── SilentStorageError   a storage does not answer, and QEMU must not be asked of it
├── JournalError        the journal can't be read or written
├── CopyError           the copy failed or can't go on; the guest is on its source
├── UnverifiedError     the verification could not be carried through; says nothing about the bytes
└── InterruptedMoveError   somebody asked to stop

An error carries a stable ``code`` (part of the JSON contract), a text for a person, and the remedy where
there is one. No error carries a secret.
"""

import difflib
from collections.abc import Iterable

from svmove.redact import without_keys


class SvmoveError(Exception):
    code: str = "internal"

    def __init__(self, text: str, *, remedy: str | None = None) -> None:
        self.text = without_keys(text)
        super().__init__(self.text)
        self.remedy = remedy


class UsageError(SvmoveError):
    code = "usage"


class RefusedError(SvmoveError):
    code = "refused"


class NotFoundError(SvmoveError):
    def __init__(self, kind: str, name: str, known: Iterable[str] = (), *, text: str | None = None) -> None:
        nearest = difflib.get_close_matches(name, list(known), n=3, cutoff=0.5)
        remedy = "did you mean " + " or ".join(repr(other) for other in nearest) + "?" if nearest else None
        super().__init__(text or f"no {kind} {name!r}", remedy=remedy)
        self.code = f"no-such-{kind}"


class UnreachableError(SvmoveError):
    code = "libvirt-unreachable"


class HypervisorError(SvmoveError):
    """``number`` is libvirt's VIR_ERR_*; ``transient`` when the same call may go through later."""

    code = "libvirt-error"

    def __init__(self, text: str, *, number: int = 0, transient: bool = False, remedy: str | None = None) -> None:
        super().__init__(text, remedy=remedy)
        self.number = number
        self.transient = transient


class NotReadyError(HypervisorError):
    """A pivot was asked of a mirror that is not ready; its job lives on."""

    code = "not-ready"


class HostError(SvmoveError):
    code = "host-error"


class SilentStorageError(HostError):
    code = "storage-silent"


class JournalError(SvmoveError):
    code = "journal"


class CopyError(SvmoveError):
    """``reason`` is the machine-readable cause, and becomes the error code of the move."""

    code = "copy-failed"

    def __init__(self, text: str, *, reason: str = "copy-failed", remedy: str | None = None) -> None:
        super().__init__(text, remedy=remedy)
        self.reason = reason


class UnverifiedError(SvmoveError):
    code = "unverified"


class InterruptedMoveError(SvmoveError):
    code = "interrupted"
