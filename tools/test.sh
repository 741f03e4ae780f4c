#!/bin/sh
# Run the tests: everything but the window in one go, then each file of window tests in an interpreter of its own, so that a crash of
# software OpenGL (Mesa, in napari's own drawing) costs one file: it is run once more if the interpreter was killed by a signal.
# A test that fails is never tried again. Usage: test.sh PYTHON [PYTEST ARGUMENTS]; with arguments they are run as they are.
python=$1
shift

run() {
    "$python" -m pytest "$@"
    code=$?
    if [ "$code" -ge 128 ] && [ "$code" -ne 130 ]; then
        echo "The interpreter was killed by signal $((code - 128)), not by a failing test. Running it once more."
        "$python" -m pytest "$@"
        code=$?
    fi
    return "$code"
}

if [ $# -gt 0 ]; then
    run "$@"
    exit
fi
failed=""
run --ignore=tests/ui || failed="all but the window"
for file in tests/ui/test_*.py; do
    run "$file" || failed="$failed $file"
done
[ -z "$failed" ] && exit
echo "Failed: $failed"
exit 1
