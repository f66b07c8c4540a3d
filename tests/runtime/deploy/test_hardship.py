"""Federations that are broken on purpose; minutes each, so only `make test-all` runs them."""

from contextlib import ExitStack

import psutil
import pytest

from fedlora import run_folder
from fedlora.bench.deploy.bench import NAMES, tiny
from fedlora.bench.deploy.faults import FAULTS
from fedlora.bench.deploy.hosts import hosts, missing
from fedlora.bench.deploy.intruders import misfits, strangers
from fedlora.bench.deploy.machines import family
from fedlora.bench.deploy.newcomers import newcomer_data, take_part
from fedlora.bench.deploy.rehearsal import rehearsal
from fedlora.bench.deploy.slow_links import slow
from fedlora.bench.deploy.survival import DISK, disturb
from fedlora.config import dump
from fedlora.errors import FedloraError
from fedlora.runtime import run as running
from fedlora.server.observer import Silent

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]
needs_hosts = pytest.mark.skipif(missing() is not None, reason=str(missing()))


@pytest.fixture
def config_file(tmp_path):
    """A function that writes a tiny configuration; it, and what it comes to in process."""

    def write(rounds):
        config = tiny(rounds)
        (tmp_path / "config.yaml").write_text(dump(config))
        here = running.run(config, run_folder.create(config, tmp_path / "here"), Silent())
        return tmp_path / "config.yaml", here["fingerprint"]

    return write


def test_every_fault_of_the_loopback_is_survived(tmp_path, config_file):
    faults = [fault for fault in FAULTS if not fault.needs_hosts]
    file, fingerprint = config_file(2 * len(faults))
    struck = disturb(tmp_path / "there", file, faults, (), Silent())

    assert list(struck.survived.values()) == [True] * len(faults), struck.survived
    assert struck.results["fingerprint"] == fingerprint
    assert struck.lost == 0


@needs_hosts
def test_a_partition_and_a_full_disk_are_survived_on_hosts_of_their_own(tmp_path, config_file):
    faults = [*(fault for fault in FAULTS if fault.needs_hosts), DISK]
    file, fingerprint = config_file(6)
    with hosts(NAMES[:3]) as joined:
        struck = disturb(tmp_path / "there", file, faults, joined, Silent())

    assert list(struck.survived.values()) == [True] * len(faults), struck.survived
    assert struck.results["fingerprint"] == fingerprint


@needs_hosts
def test_a_federation_over_slow_lossy_links_ends_the_same(tmp_path, config_file):
    file, fingerprint = config_file(1)
    with (
        hosts(NAMES[:3]) as joined,
        rehearsal(tmp_path / "there", 2, joined) as federation,
        ExitStack() as links,
    ):
        far_apart(joined, links)
        federation.serve()
        federation.join(0)
        federation.join(1)
        federation.submit(file)
        assert federation.results()["fingerprint"] == fingerprint


def far_apart(joined, links):
    """Ten megabits a second, 100 ms there and back, one frame in a hundred lost."""
    try:
        for host in joined:
            host.shape("netem", "rate", "10mbit", "delay", "50ms", "loss", "1%")
    except FedloraError:  # the kernel's tc has no netem
        links.enter_context(slow(dict.fromkeys(joined, 10e6), delay=0.05, loss=0.01))


@needs_hosts
def test_a_federation_over_ten_megabits_serves_newcomers_and_refuses_intruders(
    tmp_path, config_file
):
    file, fingerprint = config_file(0)
    data = newcomer_data(tmp_path / "data")
    with hosts(NAMES) as joined, rehearsal(tmp_path / "there", 2, joined) as federation:
        for host in joined:
            host.shape("tbf", "rate", "10mbit", "burst", "64kbit", "latency", "400ms")
        federation.serve()
        federation.join(0)
        federation.join(1)
        federation.submit(file)
        tried = strangers(federation)
        assert federation.results()["fingerprint"] == fingerprint
        served = take_part(federation, data)
        assert (served.adapter / "adapter_config.json").is_file()
        tried += misfits(federation, data)
    assert [each.name for each in tried if not each.refused] == []


def test_two_hundred_rounds_with_faults_leak_nothing(tmp_path, config_file):
    rounds, faults = 200, [f for f in FAULTS if f.name in ("worker killed", "host killed")]
    file, fingerprint = config_file(rounds)
    with rehearsal(tmp_path / "there", clients=1) as federation:
        server = federation.serve()
        client = federation.join(0)
        federation.submit(file)
        held = []
        for checkpoint in range(1, 11):
            federation.wait_for_answers(checkpoint * rounds * 4 // 12, seconds=1800)
            held.append((_held(server), _held(client)))
            faults[checkpoint % len(faults)].strike(federation)
        results = federation.results(seconds=1800)

    assert results["fingerprint"] == fingerprint
    assert results["lost"] == []
    for machine in (0, 1):
        first, last = held[2][machine], held[-1][machine]
        assert last[0] < 1.3 * first[0]  # resident bytes
        assert last[1] < first[1] + 16  # file descriptors


def _held(machine):
    """Resident bytes and open files of a machine's processes."""
    memory = files = 0
    for process in family(machine.process.pid):
        try:
            memory += process.memory_info().rss
            files += process.num_fds()
        except psutil.Error:
            continue
    return memory, files
