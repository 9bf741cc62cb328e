"""bcl_mm.cli.export, as a file."""

import runpy

runpy.run_module('bcl_mm.cli.export', run_name='__main__')
