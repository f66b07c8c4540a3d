"""What was spent of a budget: all of it by whom was always asked, less by others, never more."""

import pytest

from fedlora.evaluation.spending import MOST, spent
from fedlora.privacy.accounting import Noisy, Steps, composed, noise_multiplier
from fedlora.privacy.planning import planned
from tests.conftest import small_config

EXAMPLES = 16  # a batch of all of them: the accountant has a closed form
WHOLE = {"train": {"epochs": 1, "batch_size": EXAMPLES}}
PRIVATE = {
    "warm_start": {"rounds": 3, **WHOLE},
    "finetune": {"epochs": 2, "batch_size": EXAMPLES},
    "privacy": {"examples": {"epsilon": 4.0}},
}


def account(client: int, phase: str, round: int, **changes: object) -> dict[str, object]:
    noise = noise_multiplier(CONFIG.privacy.examples, planned(CONFIG, EXAMPLES))
    line = {"client": client, "phase": phase, "round": round, "examples": EXAMPLES, "noise": noise}
    return line | changes


CONFIG = small_config(**PRIVATE)
ALWAYS = [account(0, "warm_start", r) for r in (1, 2, 3)] + [account(0, "finetune", 0)]
GROUP = {"phase": "warm_start", "round": 1, "group": "all", "clipped": 2}
LOST = {"phase": "warm_start", "round": 3, "client": 0, "reason": "no answer"}


def of_examples(metrics, lost=(), config=CONFIG) -> float:
    (found,) = spent(config, [(metrics, list(lost))])
    assert (found["protects"], found["budget"], found["delta"]) == ("examples", 4.0, 1e-5)
    return found["epsilon"]


def test_who_was_always_asked_has_spent_the_budget_and_others_have_spent_less():
    always = of_examples([*ALWAYS, GROUP])
    assert 0.98 * 4.0 < always <= 4.0
    assert of_examples([*ALWAYS, account(1, "finetune", 0)]) == always
    noise = float(str(ALWAYS[0]["noise"]))
    seldom = composed([Noisy(noise, Steps(1.0, 1 + 2))], 1e-5)
    assert of_examples([ALWAYS[0], ALWAYS[-1]]) == pytest.approx(seldom)
    assert seldom < 0.9 * always


def test_an_answer_that_was_lost_may_have_been_seen():
    fewer = [ALWAYS[0], ALWAYS[1], ALWAYS[-1]]
    assert of_examples(fewer) < of_examples(fewer, [LOST]) == of_examples(ALWAYS)


@pytest.mark.parametrize("nonsense", [
    {"noise": "loud"}, {"noise": 0.0}, {"noise": float("nan")}, {"examples": 0}, {"examples": 2.5},
    {"examples": None}, {"noise": -1.0}, {"noise": True},
])  # fmt: skip
def test_of_a_client_that_says_nothing_of_use_the_budget_is_told(nonsense):
    assert of_examples([account(0, "finetune", 0, **nonsense)]) == 4.0


def test_no_client_can_claim_to_have_spent_more():
    assert of_examples([account(0, "finetune", 0, noise=1e-3)]) == 4.0
    many = [account(n, "finetune", 0, noise=50.0 + n) for n in range(MOST + 1)]
    assert of_examples(many[1:]) < 1.0
    assert of_examples(many) == 4.0


def test_seeds_share_a_budget_and_one_that_is_finished_has_spent_its_part():
    both = small_config(
        **PRIVATE
        | {"seeds": [0, 1], "task_vector": {"features": ["pooled"]}}
        | {"privacy": {"examples": {"epsilon": 4.0}, "task_vector": {"epsilon": 2.0}}}
    )
    noise = noise_multiplier(both.privacy.examples, planned(both, EXAMPLES))
    seed = ([line | {"noise": noise} for line in ALWAYS], [])
    first, second = spent(both, [seed]), spent(both, [seed, seed])
    assert [x["protects"] for x in second] == ["examples", "task_vector", "together"]
    assert second[0]["epsilon"] == pytest.approx(4.0, rel=0.02)
    assert second[1]["epsilon"] == pytest.approx(2.0)
    assert all(a["epsilon"] < 0.8 * b["epsilon"] for a, b in zip(first, second, strict=True))
    for key, budget in (("epsilon", second[0]["epsilon"] + 2.0), ("budget", 6.0), ("delta", 2e-5)):
        assert second[2][key] == pytest.approx(budget)


def test_rounds_that_shield_clients_spend_by_their_number():
    rounds = {"rounds": 2, "weights": "equal", "aggregation": {"name": "ffa"}}
    config = small_config(
        warm_start=rounds,
        privacy={"clients": {"epsilon": 3.0}},
        screening={"rounds": False},
    )
    (found,) = spent(config, [([], [])])
    assert found["protects"] == "clients"
    assert 0.98 * 3.0 < found["epsilon"] <= 3.0
    assert spent(small_config(), [([], [])]) == []
