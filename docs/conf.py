"""Sphinx reads this: MyST pages, the API from docstrings, tables from the code itself."""

import importlib.metadata
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

project = "fedlora"
author = "the fedlora authors"
copyright = author
version = release = importlib.metadata.version("fedlora")

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "from_code",
    "plain_docstrings",
]
default_role = "code"
exclude_patterns = ["_build"]
myst_enable_extensions = ["colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_default_options = {"members": True, "show-inheritance": True}

# a page of CONTRIBUTING.md is shown below another title
suppress_warnings = ["myst.header"]

html_theme = "furo"
html_title = f"fedlora {release}"
