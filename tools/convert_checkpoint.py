"""bcl_mm.cli.convert, as a file."""

import runpy

runpy.run_module('bcl_mm.cli.convert', run_name='__main__')
