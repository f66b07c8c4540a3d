#!/bin/sh
# lm-evaluation-harness in a virtual environment of its own, .cache/lm_eval, on top of fedlora's.
# Run from the repository's root: sh simulations/peers/install_lm_eval.sh PYTHON_OF_FEDLORA
set -e
python=${1:-.venv/bin/python}
target=.cache/lm_eval
test -x "$target/bin/python" || "$python" -m venv "$target"
# What fedlora has installed is seen from there, so that only what is missing is fetched.
site='import sysconfig; print(sysconfig.get_path("purelib"))'
"$python" -c "$site" > "$("$target/bin/python" -c "$site")/fedlora.pth"
"$target/bin/python" -m pip install --disable-pip-version-check --quiet -c constraints.txt \
    lm-eval==0.4.13
