"""A stream over clients that only answer messages: exact, resumable, and told in bytes."""

import json
from dataclasses import replace

import pytest
import torch

from fedlora.adapter import peft_folder
from fedlora.backbone import open_slot
from fedlora.bank import Bank
from fedlora.client.opening import open_clients
from fedlora.client.stream.holdings import Holdings
from fedlora.config import RuntimeConfig, from_dict
from fedlora.continual.learner import Learner
from fedlora.continual.stream import encode_stream
from fedlora.errors import FedloraError
from fedlora.runtime.inprocess import InPacks
from fedlora.wire.exchange import Reply
from fedlora.wire.message import Message, decode, encode

ALIGNED = {"name": "inflora_ca", "threshold_first": 0.9, "exhausted": "zero"}
REPLAY = {"name": "replay", "per_class": 5}


def entries(folder):
    return [json.loads(line) for line in (folder / "ledger.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("method", [ALIGNED, REPLAY], ids=lambda method: method["name"])
def test_a_federation_of_one_is_the_learner(method, stream_config, live):
    """Messages change nothing but the statistics' last digits, which travel in float32."""
    config = stream_config(method=method)
    told = live(config)

    slot = open_slot(config.backbone, config.lora, "auto")
    tasks = encode_stream(config.tasks.build(), slot, 128)
    learner = Learner(slot, config.continual.method.build(), tasks, config.finetune, 0)
    for number, step in enumerate(told["steps"]):
        learner.begin_task(number)
        learner.train()
        learner.end_task()
        for task, score in learner.scores().items():
            assert step["within"]["test"][task] == pytest.approx(
                score.within / score.rows, abs=0.03
            )
            assert step["among"]["test"][task] == pytest.approx(score.among / score.rows, abs=0.06)


def test_a_client_that_is_alone_copies_none_of_its_rows(stream_config):
    config = stream_config()
    slot = open_slot(config.backbone, config.lora, "auto")
    tasks = encode_stream(config.tasks.build(), slot, 128)

    assert Holdings(config, tuple(tasks), 0).train(0, 1) is tasks[1].train


class KilledError(Exception):
    """The process ends here."""


class Limited:
    """A transport that dies after a number of replies."""

    def __init__(self, config, seed, most):
        self.carrier = InPacks(open_clients(config, seed).handle_many, 1)
        self.left = most

    def exchange(self, requests):
        for reply in self.carrier.exchange(requests):
            if self.left == 0:
                raise KilledError
            self.left -= 1
            yield reply


def test_a_stream_killed_in_the_middle_goes_on_to_the_same_numbers(stream_config, live, tmp_path):
    config = stream_config(clients=2, method=ALIGNED, rounds=2)  # 29 answers
    whole = live(config, tmp_path / "whole")
    with pytest.raises(KilledError):
        live(config, tmp_path / "killed", Limited(config, 0, 17))
    again = live(config, tmp_path / "killed")

    assert again == whole
    facts = [(tmp_path / n / "facts.json").read_text() for n in ("whole", "killed")]
    assert facts[0] == facts[1]


def test_the_order_of_answers_changes_nothing(stream_config, live, tmp_path):
    config = stream_config(clients=3, method=ALIGNED)

    class Backwards:
        def exchange(self, requests):
            carrier = InPacks(open_clients(config, 0).handle_many, 1)
            yield from reversed(list(carrier.exchange(requests)))

    assert live(config, tmp_path / "a") == live(config, tmp_path / "b", Backwards())


def test_averaging_is_exact_and_down_is_the_servers(stream_config, live, tmp_path):
    config = stream_config(clients=3)
    sent = {}

    class Watching:
        def exchange(self, requests):
            carrier = InPacks(open_clients(config, 0).handle_many, 1)
            for reply in carrier.exchange(requests):
                asked = next(r for r in requests if r.client == reply.client)
                message = decode(asked.frame, 1 << 30)
                if message.meta["action"] == "learn" and message.meta["step"] == 0:
                    sent[reply.client] = decode(reply.frame, 1 << 30)
                yield reply

    live(config, tmp_path / "run", Watching())
    bank = Bank.open(tmp_path / "run" / "bank")
    branch = bank.load(bank.records()[0].digest)
    name = branch.spec.layers[0].name
    deltas, weights = [], []
    for answer in sent.values():
        codec = config.codec.build()
        head = (("classifier.weight", (4, 24)), ("classifier.bias", (4,)))
        adapter = codec.decode(answer.tensors["adapter.trained"], replace(branch.spec, head=head))
        deltas.append(adapter.delta(name))
        weights.append(answer.meta["examples"])
    dense = sum(w * d for w, d in zip(weights, deltas, strict=True)) / sum(weights)
    assert torch.allclose(branch.delta(name), dense, atol=1e-6)


@pytest.mark.parametrize("name", ["flexlora", "product", "median", "geometric_median", "fedadam"])
def test_every_aggregation_leaves_a_fixed_down_and_moves_the_product(
    name, stream_config, live, tmp_path
):
    """With one client, whatever averages gives its update back."""
    updates = {}
    for method in (name, "fedavg"):
        config = stream_config(rounds=2, aggregation={"name": method})
        told = live(config, tmp_path / method)
        bank = Bank.open(tmp_path / method / "bank")
        branch = bank.load(bank.records()[0].digest)
        updates[method] = branch
        assert all(leak is None or leak < 1e-5 for leak in (s["leak"] for s in told["steps"]))
    for layer in updates["fedavg"].spec.layers:
        assert torch.equal(updates[name].down[layer.name], updates["fedavg"].down[layer.name])
        if name != "fedadam":  # which takes a step of its own size
            ours, theirs = (updates[m].delta(layer.name) for m in (name, "fedavg"))
            assert torch.allclose(ours, theirs, atol=1e-5)


@pytest.mark.parametrize("name", ["fp16", "int8"])
def test_branches_pass_a_codec(name, stream_config, live, tmp_path):
    plain = live(stream_config(clients=2), tmp_path / "plain")
    config = stream_config(clients=2)
    coded = from_dict(config.model_dump() | {"codec": {"name": name}}, "test")
    told = live(coded, tmp_path / name)
    sent = {
        run: sum(
            e["payload"]
            for e in entries(tmp_path / run)
            if (e["purpose"], e["direction"]) == ("train", "up")
        )
        for run in ("plain", name)
    }
    assert sent[name] < 0.7 * sent["plain"]
    for ours, theirs in zip(told["steps"], plain["steps"], strict=True):
        rates = zip(ours["within"]["test"], theirs["within"]["test"], strict=True)
        assert all(a is None or abs(a - b) < 0.2 for a, b in rates)


@pytest.mark.parametrize(("section", "said"), [
    ({"codec": {"name": "lowrank", "rank": 1}}, "codec: lowrank changes the directions"),
    ({"codec": {"name": "topk"}}, "codec: topk changes the directions"),
    ({"codec_up": {"name": "int8"}}, "codec_up: has no meaning in a continual run"),
    ({"growth": {"rounds": 2}}, "growth: has no meaning"),
    ({"lora": {"rank": 2, "ranks": [1, 2]}}, "lora.ranks: the branches of a stream have one rank"),
])  # fmt: skip
def test_what_a_stream_has_no_use_for_is_refused(section, said, stream_config):
    with pytest.raises(FedloraError, match=said):
        from_dict(stream_config().model_dump() | section, "test")


def test_protected_statistics_leave_no_mean_feature_beside_them(stream_config, live, tmp_path):
    noise = {"epsilon": 1.0, "clip": 10.0}
    seen = []

    class Watching:
        def __init__(self, config):
            self.carrier = InPacks(open_clients(config, 0).handle_many, 1)

        def exchange(self, requests):
            for reply in self.carrier.exchange(requests):
                seen.append(set(decode(reply.frame, 1 << 30).tensors))
                yield reply

    config = stream_config(clients=2, noise=noise)
    live(config, tmp_path / "run", Watching(config))

    assert not any(name.startswith("vector.") for names in seen for name in names)
    with pytest.raises(FedloraError, match="does not cover the mean features"):
        stream_config(noise=noise, generator={"name": "nearest"})


def test_classes_met_at_different_steps_are_all_remembered(
    stream_config, live, tmp_path, monkeypatch
):
    kept = []
    monkeypatch.setattr(
        "fedlora.continual.keeper.align",
        lambda heads, known, *_: (kept.append([one.count for one in known]), heads)[1],
    )
    config = stream_config(clients=2, method=ALIGNED, order="shuffled")
    live(config, tmp_path / "run")

    assert sum(kept[-1]) == 3 * 40  # every training example of the three tasks


def test_statistics_of_clients_design_the_branch_of_all_data(stream_config, live, tmp_path):
    """The first branch is designed before any training, so it must be the central one."""
    downs = []
    for clients in (1, 4):
        live(stream_config(clients=clients), tmp_path / str(clients))
        bank = Bank.open(tmp_path / str(clients) / "bank")
        first = next(r for r in bank.records() if r.round == 0)
        downs.append(bank.load(first.digest).down)
    for name, down in downs[0].items():
        inner = (3 * down @ downs[1][name].T).abs()
        assert torch.allclose(inner, torch.eye(2), atol=1e-3)  # the same rows, up to their signs


def test_statistics_are_in_the_ledger_and_a_sketch_makes_them_small(stream_config, live, tmp_path):
    live(stream_config(clients=2), tmp_path / "whole")
    told = live(stream_config(clients=2, sketch=12), tmp_path / "sketch")
    payload = {
        name: sum(
            e["payload"]
            for e in entries(tmp_path / name)
            if e["purpose"] == "statistics" and e["direction"] == "up"
        )
        for name in ("whole", "sketch")
    }
    # Two inputs of width 24, before and after each of three tasks, from two clients.
    assert payload["whole"] == 2 * 6 * 2 * (24 * 25 // 2) * 4
    assert payload["sketch"] == 2 * 6 * 2 * (12 * 24) * 4
    assert 0 < told["steps"][0]["sketch_lost"] < 0.2


def test_in_a_deployment_noise_is_drawn_once_a_survey(stream_config, tmp_path, monkeypatch):
    monkeypatch.setenv("FEDLORA_DATA", str(tmp_path))
    simulated = stream_config(noise={"epsilon": 1.0, "clip": 10.0})
    config = simulated.model_copy(update={"runtime": RuntimeConfig(name="deployment")})

    def look(client, transfer, step, **more):
        asked = {"action": "look", "task": 1, "transfer": transfer, "step": step, "inputs": True}
        message = Message("statistics", {}, {"features": False, **asked, **more})
        return client.handle(0, encode(message))

    client = open_clients(config, 0)
    first = look(client, True, "look/1")
    assert look(client, True, "another") == first
    assert look(open_clients(config, 0), True, "look/1") == first
    assert look(client, False, "look/1") != first
    for wrong in (2, None, 1.0):
        with pytest.raises(FedloraError, match=r"lacks the .* 'transfer'"):
            look(client, wrong, "look/1")
    with pytest.raises(FedloraError, match="features of classes"):
        look(client, True, "look/1", task=2, features=True)


def test_noise_moves_the_branch_and_repeats_in_a_simulation(stream_config, live, tmp_path):
    noise = {"epsilon": 1.0, "clip": 10.0}
    runs = [
        live(stream_config(clients=2, **options), tmp_path / name)
        for name, options in (("a", {"noise": noise}), ("b", {"noise": noise}), ("plain", {}))
    ]
    assert runs[0] == runs[1]
    assert runs[0] != runs[2]


def test_a_generator_starts_branches_and_lets_none_leak(stream_config, live, tmp_path):
    foretold = stream_config(clients=2, generator={"name": "nearest"})  # 24 answers
    whole = live(foretold, tmp_path / "whole")
    plain = live(stream_config(clients=2), tmp_path / "plain")

    # Two branches are learned from, so the third step is the first that is foretold.
    assert whole["steps"][:2] == plain["steps"][:2]
    assert whole["steps"][2] != plain["steps"][2]
    assert whole["steps"][2]["leak"] < 1e-6
    with pytest.raises(KilledError):
        live(foretold, tmp_path / "killed", Limited(foretold, 0, 22))
    assert live(foretold, tmp_path / "killed") == whole


@pytest.mark.parametrize(("order", "pace"), [("shuffled", "same"), ("same", "mixed")])
def test_orders_and_paces_end_with_every_task_met(order, pace, stream_config, live):
    told = live(stream_config(clients=3, order=order, pace=pace))
    last = told["steps"][-1]["within"]["test"]
    assert None not in last
    assert len(told["steps"]) == (3 if pace == "same" else 4)
    if order == "shuffled":
        assert len(told["steps"][0]["tasks"]) > 1


def test_clients_without_examples_of_a_task_sit_out(stream_config, live, tmp_path):
    shards = {"partition": "dirichlet", "alpha": 0.1, "min_examples": 5}
    live(stream_config(clients=4, shards=shards), tmp_path / "run")
    asked = [e for e in entries(tmp_path / "run") if e["phase"] == "learn"]
    assert 0 < len(asked) < 2 * 3 * 4
    assert (tmp_path / "run" / "lost.jsonl").read_text() == ""


def test_one_clients_nonsense_costs_its_own_answers_alone(stream_config, live, tmp_path):
    config = stream_config(clients=3)

    class Lying:
        def exchange(self, requests):
            for reply in InPacks(open_clients(config, 0).handle_many, 1).exchange(requests):
                yield Reply(2, b"nonsense") if reply.client == 2 else reply

    told = live(config, tmp_path / "run", Lying())
    assert len(told["steps"]) == 3
    assert '"client": 2' in (tmp_path / "run" / "lost.jsonl").read_text()


def test_the_whole_model_is_a_peft_folder(stream_config, live, tmp_path):
    config = stream_config()
    live(config, tmp_path / "run")
    slot = open_slot(config.backbone, config.lora, "auto")
    whole = peft_folder.load(tmp_path / "run" / "adapters" / "all", slot.spec.base)
    bank = Bank.open(tmp_path / "run" / "bank")
    name = whole.spec.layers[0].name
    dense = sum(bank.load(record.digest).delta(name) for record in bank.records())
    assert torch.allclose(whole.delta(name), dense, atol=1e-6)
    assert whole.head["classifier.weight"].shape == (10, 24)
    first, second, _, everything = sorted((tmp_path / "run" / "adapters").iterdir())
    assert "trained on the base model with" not in (first / "README.md").read_text()
    assert "on top of their sum alone" in (second / "README.md").read_text()
    assert "Rows of its head: 0, 1, 2, 3, 4" in (everything / "README.md").read_text()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"warm_start": {"rounds": 3}}, "warm_start: has no meaning in a continual run"),
        ({"finetune": {"repeats": 2}}, "finetune: a continual run"),
        ({"continual": {"method": {"name": "inflorra"}}}, "did you mean 'inflora'"),
        (
            {"continual": {"method": {"name": "inflora_ca"}, "noise": {}}},
            "continual.noise: it does not cover",
        ),
        ({"continual": {"method": {"name": "inflora", "threshold_last": 2}}}, "threshold_last"),
        (
            {"continual": {"method": {"name": "olora"}, "generator": {"name": "mean"}}},
            "continual.generator: .* olora",
        ),
    ],
)
def test_what_does_not_fit_a_stream_is_refused(change, said, stream_config):
    from fedlora.config import from_dict

    raw = stream_config().model_dump(mode="json")
    with pytest.raises(FedloraError, match=said):
        from_dict(raw | change, "x.yaml")
