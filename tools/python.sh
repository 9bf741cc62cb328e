# Sourced by the other scripts: sets $PYTHON, the interpreter, to the given one,
# that of the active virtual environment, of the project, or of PATH; and $root.
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
