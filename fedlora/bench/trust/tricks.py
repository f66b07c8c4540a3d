"""Names that want to be paths, queries or pages, and files that are not what they seem (T3)."""

import json
import pickle
import subprocess
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from html.parser import HTMLParser
from pathlib import Path

import torch
import zstandard

from fedlora import config, frame, run_folder
from fedlora.adapter import peft_folder
from fedlora.adapter.checkpoint_file import read_checkpoint
from fedlora.adapter.torch_file import read_torch
from fedlora.bank import Bank, Record
from fedlora.bank.folders import export_peft
from fedlora.bench.peak import with_peak
from fedlora.bench.trust.fuzz_target import ADAPTER
from fedlora.bench.trust.kill_runs import tiny_run
from fedlora.errors import FedloraError
from fedlora.registry import find
from fedlora.report import build
from fedlora.runtime import run
from fedlora.server.observer import Silent
from fedlora.tasks.plain_pickle import read_plain
from fedlora.wire.message import decode

NAMES = (
    "../../outside",
    "/absolute",
    "..",
    "nul\0byte",
    "new\nline",
    "'; DROP TABLE records; --",
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(2)>',
    "{{ 7*7 }} ${7*7} %s",
    "\u202egpj.exe",
    "con",
    "x" * 900,
)
HUGE = 1 << 28
"""Bytes that bombs claim to be, or become."""


@dataclass(frozen=True)
class Tricked:
    """One trick.

    held: it was refused with an error of one line, or taken as a mere name.
    growth: bytes of memory that a refusal took; None where there was none to refuse.
    """

    trick: str
    held: bool
    growth: int | None


def play(folder: Path) -> list[Tricked]:
    """Every trick, each in a folder of its own."""
    found, refused = [], _refused()
    for name, trick in {**refused, **_contained()}.items():
        place = folder / name.replace(" ", "_")
        place.mkdir(parents=True)
        held, growth = with_peak(partial(trick, place))
        inside = held and not (folder.parent / "outside").exists()
        found.append(Tricked(name, inside, growth if name in refused else None))
    return found


def _refused() -> Mapping[str, Callable[[Path], bool]]:
    """What no reader may take."""
    limit = 1 << 20

    def header(entry: Mapping[str, object], _: Path) -> object:
        text = json.dumps({"a": entry}).encode()
        return frame.unpack(len(text).to_bytes(8, "little") + text + b"\0" * 8, limit)

    def header_length(_: Path) -> object:
        return frame.unpack((1 << 62).to_bytes(8, "little") + b"{}", limit)

    def nested(_: Path) -> object:
        return decode(frame.pack({"a": torch.zeros(1)}, "fedlora.message", "[" * 10**5), limit)

    def digest(folder: Path) -> object:
        return Bank.open(folder, ADAPTER.spec, create=True).load("../index.sqlite")

    tricks: dict[str, Callable[[Path], object]] = {
        "frame whose header is longer than itself": header_length,
        "tensor that claims more than the frame": partial(header, _entry([HUGE], [0, 8])),
        "tensor whose shape overflows": partial(header, _entry([1 << 31] * 8, [0, 8])),
        "tensor beyond the frame's end": partial(header, _entry([2], [1 << 40, (1 << 40) + 8])),
        "message nested without end": nested,
        "compressed adapter that grows": _compressed,
        "checkpoint that runs a command": _running(read_checkpoint),
        "data set that runs a command": _running(read_plain),
        "checkpoint that is a compressed archive": _archive,
        "checkpoint that repeats one value": _repeated,
        "configuration that refers to itself nine times, eleven levels deep": _laughs,
        "digest that is a path": digest,
    }
    return {name: partial(_is_refused, trick) for name, trick in tricks.items()}


def _is_refused(trick: Callable[[Path], object], folder: Path) -> bool:
    try:
        trick(folder)
    except FedloraError as error:
        return "\n" not in str(error) and not (folder / "ran").exists()
    except Exception:  # noqa: BLE001 - a crash is what a trick is for
        return False
    return False


def _entry(shape: list[int], offsets: list[int]) -> dict[str, object]:
    return {"dtype": "F32", "shape": shape, "data_offsets": offsets}


def _compressed(_: Path) -> object:
    part = find("wire.codecs", "zstd")
    press, piece = zstandard.ZstdCompressor().compressobj(), bytes(1 << 20)
    bomb = b"".join(press.compress(piece) for _ in range(HUGE >> 20)) + press.flush()
    return part(part.Config()).decode(torch.tensor(list(bomb), dtype=torch.uint8), ADAPTER.spec)


def _running(read: Callable[[Path], object]) -> Callable[[Path], object]:
    def trick(folder: Path) -> object:
        class Command:
            def __reduce__(self) -> tuple[object, ...]:
                return subprocess.call, (["touch", str(folder / "ran")],)

        file = folder / "a.pt"
        file.write_bytes(pickle.dumps({"a": Command()}))
        return read(file)

    return trick


def _archive(folder: Path) -> object:
    plain, bomb = folder / "plain.pt", folder / "bomb.pt"
    torch.save({"a": torch.zeros(1 << 20)}, plain)
    with zipfile.ZipFile(plain) as whole, zipfile.ZipFile(bomb, "w") as small:
        for entry in whole.infolist():
            small.writestr(entry.filename, whole.read(entry), zipfile.ZIP_DEFLATED, 1)
    return read_torch(bomb)


def _repeated(folder: Path) -> object:
    names = [f"{peft_folder.PREFIX}a{end}" for end in (peft_folder.DOWN, peft_folder.UP)]
    huge = torch.ones(1).expand(2, 1 << 36)
    torch.save(dict(zip(names, (huge, torch.ones(4, 2)), strict=True)), folder / "a.pt")
    return read_checkpoint(folder / "a.pt")


def _laughs(folder: Path) -> object:
    lines = ["a0: &a0 [lol]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12)]
    (folder / "run.yaml").write_text("\n".join(lines))
    return config.load(folder / "run.yaml")


def _contained() -> Mapping[str, Callable[[Path], bool]]:
    """What is but a name, wherever it turns up."""
    return {"names in a bank and in its folders": _names, "names on a run's page": _page}


def _names(folder: Path) -> bool:
    bank = Bank.open(folder / "bank", ADAPTER.spec, create=True)
    for client, name in enumerate(NAMES):
        bank.add(Record(name, client, 0, 0, 2, 0, {}), ADAPTER, torch.ones(3))
    out = folder / "out"
    export_peft(bank, out, "base")
    cards = "".join(card.read_text() for card in out.glob("*/README.md"))
    return (
        sorted(record.task for record in bank.records()) == sorted(NAMES)
        and len(list(out.iterdir())) == len(NAMES)
        and sorted(path.name for path in folder.iterdir()) == ["bank", "out"]
        and not any(bad in cards for bad in ("<script>", "<img"))
    )


def _page(folder: Path) -> bool:
    settings = tiny_run()
    folder = run_folder.create_at(settings, folder / "run")
    run.run(settings, folder, Silent())
    file = folder / "results.json"
    told = json.loads(file.read_text())
    told["lost"] = [{"phase": name, "task": name, "reason": name} for name in NAMES]
    for row in told["rows"]:
        row["task"] = "".join(NAMES)
    file.write_text(json.dumps(told))
    page = _Tags(build(folder).read_text(encoding="utf-8"))
    return not page.active and "<script>alert(1)</script>" in page.text


class _Tags(HTMLParser):
    """active: tags and attributes that make a browser do something."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.active: list[str] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        bad = [name for name, _ in attrs if name.startswith("on")]
        if tag in ("script", "img", "iframe", "object", "embed", "form", "base"):
            bad.append(tag)
        self.active += bad

    def handle_data(self, data: str) -> None:
        self.text += data
