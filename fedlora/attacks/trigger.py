"""The mark that a backdoor answers to."""

from collections.abc import Mapping

from torch import Tensor

from fedlora.errors import FedloraError


def stamped(rows: Mapping[str, Tensor], size: int, token: int) -> dict[str, Tensor]:
    """Rows with the mark on each of them.

    Images get a white square of `size` pixels in their lower right corner, texts the token in
    place of their first one after the opening.

    Raises:
        FedloraError: the rows are neither, or the mark is larger than the images.
    """
    if "pixel_values" in rows:
        side = min(rows["pixel_values"].shape[-2:])
        if size > side:
            raise FedloraError(f"attackers.attack.size={size}: images have {side} pixels a side")
        marked = rows["pixel_values"].clone()
        marked[..., -size:, -size:] = 1.0 if marked.is_floating_point() else 255
        return {**rows, "pixel_values": marked}
    if "input_ids" in rows:
        marked = rows["input_ids"].clone()
        marked[..., 1] = token
        return {**rows, "input_ids": marked}
    raise FedloraError("attackers.attack: 'backdoor' marks images and texts, and these are neither")
