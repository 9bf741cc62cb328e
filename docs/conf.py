"""The documentation as a site.

python -m sphinx -W --keep-going -b html docs work_dirs/site
"""

import bcl_mm

project = 'bcl_mm'
author = 'The bcl_mm developers'
release = version = bcl_mm.__version__
extensions = ['myst_parser', 'sphinx.ext.autodoc', 'sphinx.ext.napoleon']
myst_enable_extensions = ['dollarmath']
myst_heading_anchors = 3

autodoc_member_order = 'bysource'
autodoc_typehints = 'none'  # the docstrings say it, with shapes
napoleon_use_param = False  # (one entry may name several arguments)

html_theme = 'furo'
html_title = 'bcl_mm'
html_static_path = ['_static']
html_css_files = ['site.css']
html_copy_source = html_show_sourcelink = False
