# Sourced by quickstart.sh and run_tests.sh. setup_env EXTRAS makes .venv, or
# uses the active environment, installs the package there and sets $PYTHON.
set -o pipefail

show_help() { # FILE WORDS: prints the file's first comment, and exits
    local file=$1 word
    shift
    for word in "$@"; do
        case $word in
        -h | --help)
            sed -n '2,/^[^#]/s/^# \{0,1\}//p' "$file"
            exit
            ;;
        esac
    done
}

find_base_python() {
    local name
    for name in python3 python3.13 python3.12 python3.11 python3.10 python; do
        if "$name" -c 'import sys; sys.exit(sys.version_info < (3, 10))' \
            2>/dev/null; then
            echo "$name"
            return
        fi
    done
    echo 'bcl_mm needs Python 3.10 or newer; PATH has none.' >&2
    return 1
}

setup_env() {
    local root base extras=$1
    root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
    if [ -z "${VIRTUAL_ENV:-}" ] && [ -z "${CONDA_PREFIX:-}" ]; then
        if ! "$root/.venv/bin/python" -m pip --version >/dev/null 2>&1; then
            base=$(find_base_python)
            echo "Making the virtual environment .venv with $base ..."
            if ! "$base" -m venv --clear "$root/.venv"; then
                echo 'Python could not make a virtual environment.' \
                    'On Debian and Ubuntu: apt-get install python3-venv' >&2
                return 1
            fi
        fi
        PYTHON=$root/.venv/bin/python
    else
        PYTHON=python
    fi
    # mmcv-lite, unless full mmcv is installed: both own the folder mmcv/.
    if ! "$PYTHON" -m pip show -q mmcv 2>/dev/null; then
        extras=lite,$extras
    fi
    echo 'Installing bcl_mm and what it needs (minutes, the first time) ...'
    "$PYTHON" -m pip install --disable-pip-version-check \
        -e "$root[${extras%,}]" | sed -un 's/^Collecting \([^ ]*\).*/  \1/p'
}
