"""Documents as svmove prints them, as small as they may be."""

from __future__ import annotations

FINDING = {"level": "warn", "code": "source-kept", "text": "kept", "remedy": "look", "target": "vda"}


def plan(state="planned", findings=()):
    disk = {
        "target": "vda",
        "pool_from": "slow",
        "pool_to": "fast",
        "source": "/slow/web.qcow2",
        "destination": "/fast/web.qcow2",
        "format_from": "raw",
        "format": "qcow2",
        "copy_bytes": 512,
    }
    return {
        "schema": 1,
        "domain": "web",
        "state": state,
        "method": "mirror",
        "disks": [disk] if state == "planned" else [],
        "media": [],
        "estimate": {"bytes": 512, "seconds": 0.1},
        "findings": list(findings),
    }


def move(state="done", error=None, ident="m1", findings=()):
    disk = {
        "target": "vda",
        "pool_from": "slow",
        "pool_to": "fast",
        "source": "/slow/web.qcow2",
        "destination": "/fast/web.qcow2",
        "format": "qcow2",
        "copied_bytes": 512,
        "verified": state == "done",
    }
    return {
        "schema": 1,
        "move": ident,
        "domain": "web",
        "state": state,
        "method": "mirror",
        "disks": [disk],
        "media": [],
        "seconds": {"total": 2.0, "pause": 0.1},
        "findings": list(findings),
        "error": error,
    }


def error(code, guest_on="source"):
    return {"code": code, "text": f"it says {code}", "guest_on": guest_on, "remedy": f"what helps of {code}"}


def refusal(code):
    return {"level": "refuse", "code": code, "text": f"it says {code}", "remedy": "more room", "target": None}


def tasks(*states, domain="web", here=True):
    found = [
        {"move": f"m{number}", "domain": domain, "state": state, "phase": "copying", "here": here}
        for number, state in enumerate(states)
    ]
    return {"schema": 1, "tasks": found}


def evacuation(state="planned", moves=1, emptying=False, unmovable=(), **more):
    found = [
        {"guest": f"web{number}", "target": "vda", "pool_from": "old", "pool_to": "fast"} for number in range(moves)
    ]
    return {
        "schema": 1,
        "pool": "old",
        "state": state,
        "to": ["fast"],
        "emptying": emptying,
        "unmovable": list(unmovable),
        "moves": found,
        "pools": [],
        "estimate": {"bytes": 512, "seconds": 0.1},
        **more,
    }


def stays(code):
    return {"volume": "x.img", "guest": None, "target": None, "code": code, "text": "stays", "remedy": "move it"}
