"""bcl_mm.cli.predict, as a file."""

import runpy

runpy.run_module('bcl_mm.cli.predict', run_name='__main__')
