#!/bin/sh
# A tool that a bench compares with, in a virtual environment of its own on top of fedlora's:
#     sh scripts/install_beside.sh PYTHON_OF_FEDLORA FOLDER PACKAGE==VERSION
# Run from the repository's root.
set -e
python=$1 target=$2 package=$3
test -x "$target/bin/python" || "$python" -m venv "$target"
# What fedlora has installed is seen from there, so that only what is missing is fetched.
site='import sysconfig; print(sysconfig.get_path("purelib"))'
seen="import site; site.addsitedir('$("$python" -c "$site")')"
echo "$seen" > "$("$target/bin/python" -c "$site")/fedlora.pth"
"$target/bin/python" -m pip install --disable-pip-version-check --quiet -c constraints.txt "$package"
