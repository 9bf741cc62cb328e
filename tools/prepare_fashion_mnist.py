"""``bcl-mm prepare fashion-mnist``, as a file."""

import sys

from bcl_mm.cli.main import main

if __name__ == '__main__':
    main(['fashion-mnist', *sys.argv[1:]], command='prepare')
