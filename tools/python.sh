# Sourced by the other scripts: $PYTHON is the interpreter to use, which is
# the given one, the active virtual environment's, the project's, or PATH's.
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
if [ -z "${PYTHON:-}" ]; then
    if [ -z "${VIRTUAL_ENV:-}" ] && [ -z "${CONDA_PREFIX:-}" ] \
        && [ -x "$root/.venv/bin/python" ]; then
        PYTHON=$root/.venv/bin/python
    elif [ -n "$(command -v python)" ]; then
        PYTHON=python
    else
        PYTHON=python3
    fi
fi
