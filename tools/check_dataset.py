"""bcl_mm.cli.check, as a file."""

import runpy

runpy.run_module('bcl_mm.cli.check', run_name='__main__')
