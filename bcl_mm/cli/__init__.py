"""The commands, one module each.

A module of a command imports nothing heavy when it is imported, so that
``--help`` answers at once. It has two functions: ``add_arguments(parser)`` and
``run(args)``, which does the work and returns the exit status (None for 0). Its
docstring is the description of the command.
"""
