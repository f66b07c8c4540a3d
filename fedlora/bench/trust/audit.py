"""What is known of the code and of what it depends on: findings, hashes and advisories (T6)."""

import json
import re
import subprocess
import sys
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from fedlora.errors import FedloraError

ROOT = Path(__file__).parents[3]
_SECONDS = 600.0


@dataclass(frozen=True)
class Audited:
    """findings, unexplained: bandit's, of medium and high severity, and those that the table in
    SECURITY.md does not explain. advisories: of a version in the lock. None where nobody could
    be asked. unhashed: what requirements.lock would install without comparing a hash.
    """

    findings: list[str] | None
    unexplained: list[str] | None
    unhashed: list[str]
    advisories: list[str] | None


def audit(root: Path = ROOT) -> Audited:
    """Ask bandit of `fedlora/`, and pip-audit of the lock, where they are installed.

    Raises:
        FedloraError: fedlora does not lie in a checkout.
    """
    try:
        security = (root / "SECURITY.md").read_text("utf-8")
        lock = (root / "requirements.lock").read_text("utf-8")
    except OSError as error:
        raise FedloraError(f"{error}: the audit is of a checkout, so run it in one") from None
    findings = _findings(root)
    left = None if findings is None else unexplained(findings, explained(security))
    return Audited(findings, left, unhashed(lock), _advisories(root))


def counted(found: Audited) -> dict[str, int | None]:
    """How many there are of each, as a row of a table."""
    return {name: None if ones is None else len(ones) for name, ones in asdict(found).items()}


def explained(security: str) -> list[tuple[str, str]]:
    """Kinds of findings, and the files or folders of `fedlora/` where a table says why they stand.

    A row's first cell names the kinds, such as B608, its second the places, in backticks.
    """
    rows = [line.split("|") for line in security.splitlines() if line.startswith("| B")]
    return [
        (kind, place)
        for _, what, where, *_ in rows
        for kind in re.findall(r"B\d{3}", what)
        for place in re.findall("`([^`]+)`", where)
    ]


def unexplained(findings: list[str], reasons: list[tuple[str, str]]) -> list[str]:
    """Findings, each as "KIND FILE:LINE", that none of these reasons is about."""
    return [one for one in findings if not any(_is_about(reason, one) for reason in reasons)]


def _is_about(reason: tuple[str, str], finding: str) -> bool:
    kind, place = reason
    found, _, where = finding.partition(" ")
    file = where.rpartition(":")[0]
    return found == kind and (file == place or (place.endswith("/") and file.startswith(place)))


def unhashed(lock: str) -> list[str]:
    """Requirements of a lock that no SHA-256 stands beside."""
    lines = (line.strip() for line in lock.replace("\\\n", " ").splitlines())
    wanted = [line for line in lines if line and not line.startswith("#")]
    return [line.split()[0] for line in wanted if "--hash=sha256:" not in line]


def _findings(root: Path) -> list[str] | None:
    """What bandit says, and which files it could not read; None where it is not installed."""
    told = _asked(root, "bandit", "-r", "fedlora", "-ll", "-q", "-f", "json")
    if told is None:
        return None
    found = [
        f"{one['test_id']} {_inside(one['filename'])}:{one['line_number']}"
        for one in told["results"]
    ]
    return found + [f"unread {_inside(one['filename'])}:0" for one in told["errors"]]


def _inside(file: str) -> str:
    return Path(file).relative_to("fedlora").as_posix()


def _advisories(root: Path) -> list[str] | None:
    """What OSV knows of the versions in the lock, or has no answer for; None without one."""
    words = ("-r", "requirements.lock", "--disable-pip", "--require-hashes", "-s", "osv")
    told = _asked(root, "pip_audit", *words, "--progress-spinner", "off", "-f", "json")
    if told is None:
        return None
    return [
        f"{one['name']} {one.get('version', '')}: {about}".strip()
        for one in told["dependencies"]
        for about in [*(vuln["id"] for vuln in one.get("vulns", ())), *_skipped(one)]
    ]


def _skipped(dependency: dict[str, Any]) -> list[str]:
    return [dependency["skip_reason"]] if "skip_reason" in dependency else []


def _asked(root: Path, tool: str, *words: str) -> Any:
    """A tool's answer in JSON; None where it is not installed or has none."""
    if find_spec(tool) is None:
        return None
    try:
        done = subprocess.run(
            [sys.executable, "-m", tool, *words],
            cwd=root,
            capture_output=True,
            text=True,
            check=False,
            timeout=_SECONDS,
        )
        return json.loads(done.stdout)
    except (OSError, subprocess.TimeoutExpired, json.JSONDecodeError):
        return None
