"""``python -m bcl_mm``, the same as ``bcl-mm``."""

from bcl_mm.cli.main import main

if __name__ == '__main__':
    main()
