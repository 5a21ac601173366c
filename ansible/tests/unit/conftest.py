"""The collection under its name, wherever it lies; and a svmove that plays documents."""

from __future__ import annotations

import json
import sys
import types
from pathlib import Path

import pytest

_ROOT = Path(__file__).resolve().parents[2]

if "ansible_collections" not in sys.modules:  # ansible-test has a loader of its own
    for name, where in (
        ("ansible_collections", _ROOT.parent),
        ("ansible_collections.svmove", _ROOT.parent),
        ("ansible_collections.svmove.svmove", _ROOT),
    ):
        package = types.ModuleType(name)
        package.__path__ = [str(where)]
        sys.modules[name] = package

_PLAYER = """#!{python}
import json, os, sys
folder = {folder!r}
with open(os.path.join(folder, "calls"), "a") as file:
    print(json.dumps([sys.argv[1:], dict(os.environ)]), file=file)
with open(os.path.join(folder, "answers.json")) as file:
    answers = json.load(file)
said = answers[sys.argv[1]]
code, document, error = said.pop(0) if len(said) > 1 else said[0]
with open(os.path.join(folder, "answers.json"), "w") as file:
    json.dump(answers, file)
if document is not None:
    print(json.dumps(document))
sys.stderr.write(error)
if code < 0:
    os.kill(os.getpid(), -code)
sys.exit(code)
"""


class Player:
    """A program in svmove's place. What the real one does is shown by the integration, and by svmove's own tests."""

    def __init__(self, folder):
        self.folder = folder
        self.path = folder / "svmove"
        self.path.write_text(_PLAYER.format(python=sys.executable, folder=str(folder)))
        self.path.chmod(0o755)

    def plays(self, **answers):
        """By command: (exit code, document, stderr), the last of them for ever."""
        (self.folder / "answers.json").write_text(json.dumps(answers))
        return self

    @property
    def calls(self):
        """Arguments and environment of each call."""
        return [json.loads(line) for line in (self.folder / "calls").read_text().splitlines()]

    @property
    def words(self):
        return [words for words, _environment in self.calls]


@pytest.fixture
def svmove(tmp_path):
    return Player(tmp_path)


@pytest.fixture
def run(capsys, tmp_path):
    """Runs a module's main; its result as Ansible gets it."""
    from ansible.module_utils.testing import patch_module_args

    def go(main, check=False, **params):
        given = {**params, "_ansible_check_mode": check, "_ansible_remote_tmp": str(tmp_path)}
        with patch_module_args(given), pytest.raises(SystemExit):
            main()
        return json.loads(capsys.readouterr().out)

    return go
