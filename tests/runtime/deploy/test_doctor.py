import shutil
import socket
import ssl
import threading
from contextlib import contextmanager, suppress

import pytest
from PIL import Image

from fedlora.runtime.deploy import certificates
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


def test_ports_that_another_program_holds_are_told_from_those_of_a_server(places):
    facts = places[0].facts
    with (
        socket.create_server(("127.0.0.1", facts.port)),
        socket.create_server(("127.0.0.1", facts.control_port)) as silent,
    ):

        def hang_up():
            silent.accept()[0].close()

        threading.Thread(target=hang_up, daemon=True).start()
        assert "not by this server: end the program" in wrong(places[0])["ports"]


@contextmanager
def answering(server):
    """Something at the server's port that shows the server's certificate."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(server.certificate, server.key)
    with socket.create_server(("127.0.0.1", server.facts.port)) as listener:

        def answer():
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with suppress(OSError), connection:
                    context.wrap_socket(connection, server_side=True).close()

        threading.Thread(target=answer, daemon=True).start()
        yield
        listener.shutdown(socket.SHUT_RDWR)


def test_a_port_that_another_program_holds_is_no_server_to_a_client(tmp_path):
    _, client = make(tmp_path, clients=1, secure=False)
    with socket.create_server(("127.0.0.1", client.facts.port)) as deaf:

        def hang_up():
            for _ in range(2):
                deaf.accept()[0].close()

        threading.Thread(target=hang_up, daemon=True).start()
        assert "not as a server: another program" in wrong(client)["server"]


def test_another_server_is_said_to_be_none_of_this_folder(places):
    server, client, other = places
    shutil.copy(other.ca, client.ca)
    with answering(server):
        found = wrong(client)
    assert "not the server of this folder" in found["server"]
    assert found["clock"] == found["key"]
    assert found["key"].startswith("not asked")


def test_an_authority_that_ends_asks_for_another_federation(places, monkeypatch):
    monkeypatch.setattr(certificates, "_AUTHORITY_DAYS", 20)
    server = places[0]
    authority = certificates.new_authority("test")
    key = certificates.read_key(server.key)
    signed = certificates.sign_server(authority, server.facts.hosts, key)
    server.ca.write_bytes(certificates.certificate_bytes(authority.certificate))
    server.certificate.write_bytes(certificates.certificate_bytes(signed))
    assert "anew with deploy init" in wrong(server)["certificates"]


def test_an_authority_that_is_none_is_named(places):
    places[1].ca.write_text("nothing")
    found = wrong(places[1])
    assert all("ca.crt: no certificate can be read" in found[each] for each in ("clock", "key"))


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
