"""What was spent of a run's privacy budgets, in words."""

from fedlora.report.run_folder import RunFolder

NAMES = {
    "examples": "Privacy of an example in adapters",
    "task_vector": "Privacy of an example in task vectors",
    "together": "Privacy of an example in both together",
    "clients": "Privacy of a client in the rounds",
}

BARE = "none: they carry no noise, so that nothing bounds what is generated from both either"
"""Of task vectors, where adapters have a budget and they have none."""


def spent(run: RunFolder) -> list[tuple[str, str]]:
    """One line for each budget: its name, and what the accountant says of it."""
    told = [
        (
            NAMES.get(each.protects, f"Privacy of {each.protects}"),
            f"epsilon {each.epsilon:.3g} of {each.budget:.3g} at delta {each.delta:.3g}",
        )
        for each in run.results.privacy
    ]
    protects = {each.protects for each in run.results.privacy}
    if "examples" in protects and "task_vector" not in protects:
        told.append((NAMES["task_vector"], BARE))
    return told
