"""bcl_mm.cli.report, as a file."""

import runpy

runpy.run_module('bcl_mm.cli.report', run_name='__main__')
