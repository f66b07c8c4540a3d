"""What travelled, counted three ways."""

import json

from fedlora.report.figures import what_travelled
from fedlora.report.run_folder import read
from fedlora.report.traffic import purposes, three_ways
from tests.report.made_run import make


def test_the_page_gives_payload_and_serialised_bytes_and_those_of_the_socket_if_all_are_known(
    tmp_path,
):
    folder = make(tmp_path, folders=True)
    ledgers = sorted(folder.glob("seed-*/ledger.jsonl"))
    lines = [json.loads(line) for ledger in ledgers for line in ledger.read_text().splitlines()]
    sums = {key: sum(line[key] for line in lines) for key in ("payload", "serialised")}
    found = purposes(read(folder))

    assert three_ways(found) == (sums["payload"], sums["serialised"], None)
    assert "socket" not in what_travelled(read(folder)).about

    for ledger in ledgers:
        counted = [{**json.loads(line), "socket": 7} for line in ledger.read_text().splitlines()]
        ledger.write_text("".join(json.dumps(line) + "\n" for line in counted))

    assert three_ways(purposes(read(folder)))[2] == 7 * len(lines)
    assert "crossed the socket" in what_travelled(read(folder)).about
