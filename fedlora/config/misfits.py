"""Why sections that are each right by themselves do not fit together."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fedlora.config.run import RunConfig


def misfit_of_sections(config: "RunConfig") -> str | None:
    """Any of a run without a stream, but for its privacy and its attackers."""
    baselines = [part.name for part in config.evaluation.baselines]
    adoptions = [config.adoption, *config.evaluation.adoptions]
    titles = [adoption.title for adoption in adoptions]
    if len(set(config.seeds)) < len(config.seeds) or min(config.seeds) < 0:
        return "seeds: each must be different, and none negative"
    if len(set(baselines)) < len(baselines):
        return "evaluation.baselines: each may stand once"
    if config.adoption.contribute and config.adoption.refine == "never":
        return "adoption.contribute: there is nothing to give back; set adoption.refine=always"
    if any(adoption.contribute for adoption in config.evaluation.adoptions):
        return "evaluation.adoptions: what is only tried gives nothing back; leave contribute out"
    if len(set(titles)) < len(titles):
        return "evaluation.adoptions: each, and adoption itself, must be different"
    draws = any(adoption.policy.build().needs_draws for adoption in adoptions)
    if draws and not getattr(config.generator.options(), "spread", 0.0):
        return "generator.spread: best_of needs draws that differ; set it above 0, with cvae"
    if config.growth.rounds and not config.warm_start.rounds:
        return "growth.rounds: the first adapter to grow from needs warm_start.rounds of at least 1"
    if unknown := sorted({*config.tried} - {*config.learned}):
        return _unlearned(config, "adoption.policy.among", unknown[0])
    named = {m for adoption in adoptions for m in adoption.policy.build().methods}
    return _missing_method(config, named) or _misfit_of_rounds(config)


def _missing_method(config: "RunConfig", named: set[str]) -> str | None:
    """What a policy serves with that the run does not learn."""
    rounds = {"warm": "warm_start", "grown": "growth"}
    for method in sorted(named - set(config.learned)):
        section = rounds.get(method)
        if section is None:
            return _unlearned(config, "adoption.policy", method)
        if not getattr(config, section).rounds:
            return f"adoption.policy: '{method}' needs {section}.rounds of at least 1"
    return None


def _unlearned(config: "RunConfig", key: str, method: str) -> str:
    return (
        f"{key}: '{method}' is nothing that this run learns; choose of"
        f" {', '.join(config.learned)}, or add it to evaluation.baselines"
    )


def _misfit_of_rounds(config: "RunConfig") -> str | None:
    """Why the method of the rounds does not go with ranks or codecs."""
    if not config.warm_start.rounds:
        return None
    name, method = config.warm_start.aggregation.name, config.warm_start.aggregation.build()
    ranks = set(config.lora.ranks or ())
    if len(ranks) > 1 and config.growth.rounds:
        return "lora.ranks: growth trains adapters of one rank; leave one of them out"
    if len(ranks) > 1 and not method.mixed_ranks:
        return (
            f"warm_start.aggregation: '{name}' needs clients of one rank;"
            " choose flexlora, flora, hetlora or product, or leave lora.ranks out"
        )
    up = (config.codec_up or config.codec).build()
    if up.feedback and method.new_factors:
        return (
            f"{'codec_up' if config.codec_up else 'codec'}: with '{name}' factors are new in each"
            " round, and what was left out of the last ones cannot be added; set feedback=false"
        )
    if method.duty(1).controls and "product" in (config.codec.build().measure, up.measure):
        return f"codec: control variates of '{name}' have no product; leave lowrank out"
    if up.relative and method.duty(1).gets_late and config.codec.name != "none":
        return f"codec_up: with '{name}' differences need codec.name=none"
    if config.codec.build().relative and (len(ranks) > 1 or not method.broadcasts):
        return (
            "codec: differences need one whole adapter for all clients;"
            f" with '{name}' and these ranks set codec.name=none and codec_up"
        )
    return None


def misfit_of_attackers(config: "RunConfig") -> str | None:
    """What clients that attack cannot have around them."""
    if config.attackers is None:
        return None
    if config.runtime.name == "deployment":
        return "attackers: for simulations; set runtime.name to inprocess or ray, or leave it out"
    attack, method = config.attackers.attack, config.warm_start.aggregation
    if not attack.build().colludes:
        return None
    up = (config.codec_up or config.codec).build()
    if method.build().duty(1).remembers or config.codec.build().relative or up.feedback:
        return (
            f"attackers.attack: '{attack.name}' trains on other attackers' data as well, and"
            " needs rounds in which clients keep nothing; set warm_start.aggregation.name=fedavg"
            " and codec.name=none"
        )
    if len({*(config.lora.ranks or ())}) > 1:
        return f"attackers.attack: '{attack.name}' needs clients of one rank; leave lora.ranks out"
    return None
