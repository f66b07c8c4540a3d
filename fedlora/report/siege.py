"""Who attacked a simulation, and what became of it, in words."""

from fedlora.report.run_folder import RunFolder


def attacked(run: RunFolder) -> list[tuple[str, str]]:
    """One line for all seeds; none where nobody attacked."""
    found = run.results.attackers
    if not found:
        return []
    ours, everyone = sum(len(s.attackers) for s in found), sum(s.clients for s in found)
    caught, wronged = sum(s.caught for s in found), sum(s.wronged for s in found)
    rates = [seed.fooled for seed in found if seed.fooled is not None]
    attack = (run.config.get("attackers") or {}).get("attack") or {}
    what = (
        f"{ours} of {everyone} clients; something of {caught} of them was kept out or lost,"
        f" and of {wronged} of the others"
    )
    if rates:
        what += (
            f"; of newcomers' marked examples {sum(rates) / len(rates):.0%} are taken for the"
            " backdoor's target with the generated adapters"
        )
    return [(f"Attackers ({attack.get('name', 'unknown')})", what)]
