"""``bcl-mm check``, as a file."""

from bcl_mm.cli.main import main

if __name__ == '__main__':
    main(command='check')
