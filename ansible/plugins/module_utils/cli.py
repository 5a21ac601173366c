"""svmove as a process: its options, its JSON documents, and what it could not do."""

from __future__ import annotations

import json
import os

SCHEMA = 1

# The document of a move, of a plan, of an evacuation; a usage error (2) and a fault (1) print none.
_WITHOUT_DOCUMENT = {1: "internal", 2: "usage", 130: "interrupted"}

COMMON = {
    "executable": {"type": "str", "default": "svmove"},
    "uri": {"type": "str"},
    "policy": {"type": "path"},
    "journal": {"type": "str", "no_log": True},
    "journal_passfile": {"type": "path", "no_log": False},
}

_ENVIRONMENT = (
    ("uri", "SVMOVE_CONNECT"),
    ("policy", "SVMOVE_POLICY"),
    ("journal", "SVMOVE_JOURNAL"),
    ("journal_passfile", "PGPASSFILE"),
)


class SvmoveError(Exception):
    """``code`` is stable: of docs/json.md and docs/findings.md, or one of this collection's README.

    ``found`` has what else a person or a playbook needs: where the guest is, the remedy, the move's id.
    """

    def __init__(self, code, text, **found):
        super().__init__(text)
        self.code, self.text, self.found = code, text, found

    def as_result(self):
        text = self.text
        if self.found.get("remedy"):
            text = f"{text} ({self.found['remedy']})"
        return {"changed": False, **self.found, "code": self.code, "msg": text}


class Svmove:
    """``run``: (argument list, environment) → exit code, stdout, stderr."""

    def __init__(self, run, params):
        self._run = run
        self._executable = params["executable"]
        self._environment = {name: params[key] for key, name in _ENVIRONMENT if params.get(key)}

    def __call__(self, command, *words):
        """Exit code and document. Raises SvmoveError when there is no document that can be read."""
        code, out, err = self._run([self._executable, command, "--json", *words], self._environment)
        if code < 0:
            text = f"svmove {command} was ended by signal {-code}"
            raise SvmoveError("killed", text, rc=code, remedy="run the task again, which takes up what was left")
        if not out.strip():
            said = err.strip() or f"exit code {code}"
            raise SvmoveError(_WITHOUT_DOCUMENT.get(code, "no-document"), _without_name(said), rc=code)
        try:
            document = json.loads(out)
        except ValueError as error:
            raise SvmoveError("no-document", f"svmove {command} printed no JSON: {error}", rc=code) from error
        if document.get("schema") != SCHEMA:
            text = f"svmove {command} printed a document of schema {document.get('schema')}, not {SCHEMA}"
            raise SvmoveError("schema", text, rc=code, remedy="update the collection svmove.svmove")
        return code, document


def _without_name(said):
    return said[len("svmove: ") :] if said.startswith("svmove: ") else said


def of_module(module):
    """The svmove that a module's parameters name. Ends the module when there is none."""
    params = dict(module.params)
    if os.sep not in params["executable"]:
        params["executable"] = module.get_bin_path(params["executable"]) or params["executable"]
    if not os.access(params["executable"], os.X_OK):
        module.fail_json(
            msg=f"no svmove at {params['executable']} (the role svmove.svmove.install puts one there)",
            code="no-executable",
        )

    def run(argv, environment):
        return module.run_command(argv, environ_update=environment)

    return Svmove(run, params)


def failure(code, document):
    """What a document that tells of a failure says, as an error to be raised. `code`: the exit code."""
    error = document.get("error") or {}
    refused = [found for found in document.get("findings") or () if found["level"] == "refuse"]
    first = error or (refused[0] if refused else {})
    texts = list(dict.fromkeys([first.get("text"), *(found["text"] for found in refused)]))
    return SvmoveError(
        first.get("code") or document.get("state") or "unknown",
        "; ".join(text for text in texts if text) or f"svmove ended with exit code {code}",
        rc=code,
        state=document.get("state"),
        move=document.get("move"),
        guest_on=error.get("guest_on"),
        remedy=first.get("remedy"),
        findings=document.get("findings") or [],
    )


def warnings(document):
    """What a person should hear of, though it went well."""
    return [
        f"{found['code']}: {found['text']}" + (f" ({found['remedy']})" if found.get("remedy") else "")
        for found in document.get("findings") or ()
        if found["level"] == "warn"
    ]
