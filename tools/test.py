"""bcl_mm.cli.test, as a file."""

import runpy

runpy.run_module('bcl_mm.cli.test', run_name='__main__')
