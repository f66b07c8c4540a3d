#!/bin/sh
# pfl-research in a virtual environment of its own, .cache/pfl: its pins are not fedlora's.
# Run from the repository's root: sh simulations/peers/install_pfl.sh [PYTHON]
set -e
python=${1:-python3}
target=.cache/pfl
"$python" -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] < (3, 13))' || {
    echo "pfl 0.6 needs Python 3.10 to 3.12: sh simulations/peers/install_pfl.sh /path/to/python3.11"
    exit 2
}
test -x "$target/bin/python" || "$python" -m venv "$target"
"$target/bin/python" -m pip install --disable-pip-version-check --quiet -c constraints.txt \
    torch transformers peft safetensors numpy pfl==0.6.0
