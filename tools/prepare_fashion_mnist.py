"""bcl_mm.cli.prepare, as a file."""

import runpy

runpy.run_module('bcl_mm.cli.prepare', run_name='__main__')
