"""Where a branch starts that something is foretold of: as near to it as its rows allow."""

from dataclasses import replace

import torch

from fedlora.adapter import LoraAdapter


def nearest_start(branch: LoraAdapter, foretold: LoraAdapter) -> LoraAdapter:
    """The branch with its own `down`, and the `up` that brings it nearest to another update.

    up = s'/s up' (down' down^T) (down down^T)^+ solves min ||s up down - s' up' down'||_F in each
    layer. Whatever is foretold, the branch writes where it was designed to write and nowhere else.

    Args:
        branch: its `down` stays; rows of zero get an `up` of zero.
        foretold: of the same layers, at any rank.
    """
    ups = {}
    theirs = {layer.name: layer for layer in foretold.spec.layers}
    for layer in branch.spec.layers:
        name = layer.name
        down, other = branch.down[name].double(), foretold.down[name].double()
        share = foretold.spec.scaling(theirs[name]) / branch.spec.scaling(layer)
        onto = (other @ down.T) @ torch.linalg.pinv(down @ down.T, hermitian=True)
        ups[name] = (share * foretold.up[name].double() @ onto).float()
    return replace(branch, up=ups)
