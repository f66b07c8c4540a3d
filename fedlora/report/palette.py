"""One colour a role, in a light and a dark version; every plot and the page use these alone.

The hues are those of Okabe and Ito (2008), which people with any colour vision tell apart,
darkened or lightened until they stand out on the paper.
"""

PALETTE: dict[str, tuple[str, str]] = {
    "paper": ("#fdfcfa", "#15171a"),
    "ink": ("#1c2024", "#ece9e3"),
    "muted": ("#5c636b", "#a2a8b0"),
    "line": ("#dedad2", "#33373d"),
    "wash": ("#f4f1eb", "#1d2024"),
    "base": ("#868c94", "#8b929b"),
    "warm": ("#8c7a5b", "#b8a583"),
    "mean": ("#a87400", "#e3ab2f"),
    "nearest": ("#c24a00", "#ff8c4f"),
    "topk": ("#00815c", "#3ccb9b"),
    "ridge": ("#a8437d", "#e88fc2"),
    "generated": ("#0063ad", "#5db2ff"),
    "shuffled": ("#6f7680", "#9ba2ac"),
    "generated_one_epoch": ("#0064ae", "#5eb3ff"),
    "zero_one_epoch": ("#878d95", "#8c939c"),
    "few_labels": ("#5a60b4", "#a6abf7"),
    "local": ("#1d2125", "#edeae4"),
    "scale_1": ("#4a2a86", "#9a80e6"),
    "scale_2": ("#2b64a8", "#5f9fe6"),
    "scale_3": ("#158285", "#35b5b0"),
    "scale_4": ("#5a9a3c", "#8fd274"),
    "scale_5": ("#c79a00", "#f4d84a"),
    "other": ("#4d7a80", "#7fb9c0"),
}


def colour(role: str) -> str:
    """The light hex of a role, by which plots are drawn; `other` for a role not known here."""
    return PALETTE.get(role, PALETTE["other"])[0]


def variable(role: str) -> str:
    """The CSS variable that holds the role's colour on the page."""
    return f"--{role.replace('_', '-')}"


VARIABLE_OF = {light: f"var({variable(role)})" for role, (light, _) in PALETTE.items()}
"""What a hex in a drawing becomes on the page, so that one drawing serves light and dark."""
