#!/usr/bin/env bash
# Runs irisspark without knowing spark-submit.
#
#   ./submit.sh                                                the demo: a sample model on iris
#   ./submit.sh -modelPath m.h5 -dataPath d.csv ...            a job on $MASTER (default local[*])
#   ./submit.sh --executor-memory 4g -- -modelPath m.h5 ...    with options of spark-submit
#   ./submit.sh --ship-python -- -modelPath m.h5 ...           to machines without the packages
#
# Makes .venv, builds irisspark.zip and trains the sample model where they are missing or out of
# date. Spark is that of $SPARK_HOME where it is set. The exit code is the job's.
set -eu

script=${BASH_SOURCE[0]}
while [ -L "$script" ]; do
    link=$(readlink "$script")
    case $link in
        /*) script=$link ;;
        *) script=$(dirname "$script")/$link ;;
    esac
done
home=$(CDPATH='' cd -- "$(dirname "$script")" && pwd -P)
venv_python=$home/.venv/bin/python

fits() {
    "$1" -I -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 12))' 2>/dev/null
}

# Becomes a module of the checkout, in the caller's folder, without a PYTHONPATH that Spark would see.
become() {
    python=$1 module=$2
    shift 2
    # Neither the caller's folder nor his PYTHONPATH has a say in what it imports (-I). Ctrl-C ends
    # it without a trace, until main() can do better.
    exec "$python" -I -c 'import signal, sys; signal.signal(2, signal.SIG_DFL)
sys.path.insert(0, sys.argv.pop(1))
from importlib import import_module
sys.exit(import_module(sys.argv.pop(1)).main())' "$home" "$module" "$@"
}

if ! cmp -s "$home/setup.py" "$home/.venv/irisspark-setup.py" || ! fits "$venv_python"; then
    found=
    for candidate in python3.12 python3.11 python3 python; do
        if fits "$candidate"; then
            found=$candidate
            break
        fi
    done
    if [ -z "$found" ]; then
        echo "irisspark: no Python 3.11 or 3.12 found: install one, for example python3.11" >&2
        exit 1
    fi
    (become "$found" irisspark.submit.environment)
fi
become "$venv_python" irisspark.submit.command "$@"
