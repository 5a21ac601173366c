"""What the collection's integration works on: a lab, a journal in PostgreSQL with a password, and where both are.

    python -m tests.ansible.world COLLECTION COMMAND...

runs COMMAND in the folder COLLECTION, whose tests/integration/integration_config.yml names it all.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from svmove.lab import Lab
from tests.postgres import Server, server

_CHECKOUT = Path(__file__).parents[2]
_SVMOVE = Path(sys.executable).with_name("svmove")


@contextmanager
def _lab(folder: Path) -> Iterator[Lab]:
    if kept := os.environ.get("SVMOVE_TEST_LAB"):  # a developer's own, which stays up
        found = Lab.open(Path(kept))
        found.up()
        yield found
        return
    found = Lab.open(folder / "lab")
    try:
        found.up()
        yield found
    finally:
        found.down(keep_cache=True)


def _journal(postgresql: Server, folder: Path) -> dict[str, str]:
    """Its URL without the password, and the file that has it: of a user whom the server asks for it."""
    postgresql.sql("CREATE ROLE locked LOGIN PASSWORD 'right-one'")
    postgresql.sql("GRANT CREATE, USAGE ON SCHEMA public TO locked")
    passfile = folder / "passfile"
    passfile.touch(0o600)
    passfile.write_text("*:*:*:locked:right-one\n")
    return {"journal": postgresql.url("postgres", "locked"), "journal_passfile": str(passfile)}


def _config(lab: Lab, journal: dict[str, str]) -> dict[str, object]:
    return {
        "svmove_guest": "lab-guest",
        "svmove_checkout": str(_CHECKOUT),
        "svmove_command": [str(_SVMOVE)],
        "svmove_check": [str(_SVMOVE), "lab", "check", "--dir", str(lab.paths.root)],
        "svmove_defaults": {"executable": str(_SVMOVE), "uri": lab.uri, **journal},
        "svmove_environment": {
            "SVMOVE_CONNECT": lab.uri,
            "SVMOVE_JOURNAL": journal["journal"],
            "PGPASSFILE": journal["journal_passfile"],
        },
    }


def main() -> int:
    collection, command = Path(sys.argv[1]), sys.argv[2:]
    # Also when somebody ends it the lab must be.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with tempfile.TemporaryDirectory(prefix="svmove-ansible-", dir="/var/tmp") as name:
        folder = Path(name)
        folder.chmod(0o755)
        with _lab(folder) as lab, server() as postgresql:
            config = _config(lab, _journal(postgresql, folder))
            # JSON is YAML.
            (collection / "tests/integration/integration_config.yml").write_text(json.dumps(config, indent=2) + "\n")
            return subprocess.run(command, cwd=collection, stdin=subprocess.DEVNULL, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
