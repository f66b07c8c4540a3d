import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import fedlora

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
PINS = {
    canonicalize_name(pin.name): next(iter(pin.specifier)).version
    for line in (ROOT / "constraints.txt").read_text().splitlines()
    if line and not line.startswith("#")
    for pin in [Requirement(line)]
}
NEEDED = [
    Requirement(text)
    for texts in [PROJECT["dependencies"], *PROJECT["optional-dependencies"].values()]
    for text in texts
]


@pytest.mark.parametrize("needed", NEEDED, ids=str)
def test_what_the_code_needs_is_pinned_to_a_version_it_accepts(needed):
    assert needed.specifier.contains(PINS[canonicalize_name(needed.name)])


def test_the_lock_has_the_pinned_versions_and_a_hash_for_each():
    lines = (ROOT / "requirements.lock").read_text().splitlines()
    entries = [line for line in lines if line and line[0] not in " #"]
    locked = {
        canonicalize_name(pin.name): next(iter(pin.specifier)).version
        for pin in (Requirement(entry.removesuffix("\\")) for entry in entries)
    }
    needed = {canonicalize_name(Requirement(text).name) for text in PROJECT["dependencies"]}
    assert needed <= locked.keys()
    assert {n: v for n, v in locked.items() if n in PINS and v != PINS[n]} == {}
    following = [lines[lines.index(entry) + 1] for entry in entries]
    assert all(line.startswith("    --hash=sha256:") for line in following)


def test_the_installed_package_is_this_one():
    assert version("fedlora") == PROJECT["version"]
    assert Path(fedlora.__file__).parent == ROOT / "fedlora"


def test_the_package_says_that_it_is_typed():
    assert (ROOT / "fedlora" / "py.typed").is_file()
