"""Run one system on one exported federation.

python -m simulations.peers SYSTEM FOLDER

SYSTEM is a file of this folder: plain, flower_stock, flower_cached or pfl_research.
"""

import importlib
import os
import sys
from pathlib import Path

import torch

from simulations.peers.federation import Federation

system, folder = sys.argv[1], Path(sys.argv[2])
torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
importlib.import_module(f"simulations.peers.{system}").run(Federation(folder))
