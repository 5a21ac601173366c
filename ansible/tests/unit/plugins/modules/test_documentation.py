"""What is written of each option is what the module takes; what is written as YAML is YAML."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest
import yaml
from ansible_collections.svmove.svmove.plugins.doc_fragments.svmove import ModuleDocFragment

ROOT = Path(__file__).resolve().parents[4]
MODULES = sorted(path.stem for path in (ROOT / "plugins" / "modules").glob("*.py"))
ROLES = sorted(path.name for path in (ROOT / "roles").iterdir())


class _CaughtError(Exception):
    pass


def spec_of(module, monkeypatch):
    def catch(**given):
        raise _CaughtError(given)

    monkeypatch.setattr(module, "AnsibleModule", catch)
    with pytest.raises(_CaughtError) as caught:
        module.main()
    return caught.value.args[0]["argument_spec"]


def bare(option):
    """Of an option, as it is documented or declared, what both say."""
    told = {key: option.get(key) for key in ("type", "default", "choices", "elements", "aliases", "required")}
    inner = option.get("suboptions") or option.get("options") or {}
    return {**told, "required": bool(told["required"]), "inner": {name: bare(one) for name, one in inner.items()}}


@pytest.mark.parametrize("name", MODULES)
def test_options_are_documented_as_they_are(name, monkeypatch):
    module = importlib.import_module(f"ansible_collections.svmove.svmove.plugins.modules.{name}")
    documented = yaml.safe_load(module.DOCUMENTATION)
    assert documented["module"] == name
    options = {**yaml.safe_load(ModuleDocFragment.DOCUMENTATION)["options"], **documented["options"]}
    spec = spec_of(module, monkeypatch)
    assert {key: bare(one) for key, one in options.items()} == {key: bare(one) for key, one in spec.items()}
    assert yaml.safe_load(module.RETURN)
    used = [
        key.rpartition(".")[2]
        for task in yaml.safe_load(module.EXAMPLES)
        for key in task
        if key.startswith("svmove.svmove.")
    ]
    assert name in used
    assert set(used) <= set(MODULES)


@pytest.mark.parametrize("name", MODULES)
def test_each_module_is_in_the_group_that_has_defaults(name):
    runtime = yaml.safe_load((ROOT / "meta" / "runtime.yml").read_text())
    assert name in runtime["action_groups"]["svmove"]


@pytest.mark.parametrize("name", ROLES)
def test_a_role_s_defaults_are_documented_as_they_are(name):
    defaults = yaml.safe_load((ROOT / "roles" / name / "defaults" / "main.yml").read_text())
    options = yaml.safe_load((ROOT / "roles" / name / "meta" / "argument_specs.yml").read_text())
    options = options["argument_specs"]["main"]["options"]
    assert defaults == {key: one["default"] for key, one in options.items() if not one.get("required")}


def test_all_yaml_is_well_formed():
    found = [path for path in ROOT.rglob("*.yml") if "output" not in path.parts]
    assert len(found) > 15
    for path in found:
        assert yaml.safe_load(path.read_text()) is not None, path
