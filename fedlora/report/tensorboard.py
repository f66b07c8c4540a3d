"""A seed's measurements for TensorBoard."""

from pathlib import Path

from fedlora.atomic import folder
from fedlora.report.run_folder import json_lines
from fedlora.report.series import points


def export(seed_folder: Path) -> Path:
    """Write seed-N/tensorboard from metrics.jsonl, whole or not at all, and say where it is.

    An earlier export is replaced, so a run that goes on can be exported again.

    Raises:
        FedloraError: the folder cannot be written to.
    """
    # TensorBoard takes a second to import, and only this function needs it.
    from torch.utils.tensorboard import SummaryWriter

    target = Path(seed_folder) / "tensorboard"
    earlier = [file.name for file in target.glob("events.out.tfevents.*")]
    with folder(target, replaced=earlier) as draft:
        writer = SummaryWriter(str(draft))
        for point in points(json_lines(Path(seed_folder) / "metrics.jsonl")):
            writer.add_scalar(point.tag, point.value, point.step)
        writer.close()
    return target
