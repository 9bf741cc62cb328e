"""bcl_mm.cli.train, as a file."""

import runpy

runpy.run_module('bcl_mm.cli.train', run_name='__main__')
