"""bcl_mm.cli.compare, as a file."""

import runpy

runpy.run_module('bcl_mm.cli.compare', run_name='__main__')
