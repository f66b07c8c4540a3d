"""Who attacked a simulation, and what became of it, in words."""

from fedlora.report.run_folder import RunFolder


def attacked(run: RunFolder) -> list[tuple[str, str]]:
    """One line for all seeds; none where nobody attacked."""
    found = run.results.attackers
    if not found:
        return []
    ours, everyone = sum(len(s.attackers) for s in found), sum(s.clients for s in found)
    caught, wronged = sum(s.caught for s in found), sum(s.wronged for s in found)
    attack = (run.config.get("attackers") or {}).get("attack") or {}
    what = (
        f"{ours} of {everyone} clients; something of {caught} of them was kept out or lost,"
        f" and of {wronged} of the others"
    )
    return [(f"Attackers ({attack.get('name', 'unknown')})", what)]
