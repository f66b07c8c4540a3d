import shutil

import pytest
from PIL import Image

from fedlora.runtime.deploy.doctor import examine
from tests.runtime.deploy.federation import make


def wrong(place, **data):
    """What is not as it should be, by check."""
    return {found.check: found.says for found in examine(place, None, data) if not found.fine}


@pytest.fixture
def places(tmp_path):
    (tmp_path / "other").mkdir()
    return [*make(tmp_path, clients=1), make(tmp_path / "other", clients=1)[0]]


def test_a_server_as_init_wrote_it_is_fit(places):
    assert wrong(places[0]) == {}


def test_a_client_whose_server_is_down_is_told_so(places):
    found = wrong(places[1])

    assert set(found) == {"server", "clock", "key"}
    assert "start the server" in found["server"]


def test_a_certificate_of_another_authority_and_a_key_for_all_to_see_are_found(places):
    server, _, other = places
    shutil.copy(other.certificate, server.certificate)
    server.key.chmod(0o644)
    found = wrong(server)

    assert "not signed by ca.crt" in found["certificates"]
    assert "others can read it" in found["secrets"]


def test_data_is_opened(places, tmp_path):
    (tmp_path / "good.jsonl").write_text('{"text": "a", "label": "b"}\n' * 3)
    (tmp_path / "bad.jsonl").write_text('{"text": "a"}\n{"text": \n')
    (tmp_path / "images" / "dog").mkdir(parents=True)
    Image.new("L", (8, 8)).save(tmp_path / "images" / "dog" / "one.png")
    data = {"": "good.jsonl", "second": "bad.jsonl", "third": "images", "fourth": "other"}

    found = examine(places[0], None, {task: str(tmp_path / path) for task, path in data.items()})
    told = {each.check: (each.fine, each.says.partition(": ")[2]) for each in found[-4:]}

    assert told["data"] == (True, "3 rows of text, label")
    assert told["data third"] == (True, "a folder of images")
    assert not told["data second"][0]
    assert "line 2" in found[-3].says
    assert told["data fourth"] == (False, "holds no JSONL, CSV or Parquet file and no images")
