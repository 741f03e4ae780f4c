#!/bin/sh
# Run the tests; once more only if the interpreter itself was killed by a signal, as Mesa's software OpenGL does now and then
# when a window with many layers closes. A test that fails is never tried again.
"$@"
code=$?
if [ "$code" -ge 128 ] && [ "$code" -ne 130 ]; then
    echo "The interpreter was killed by signal $((code - 128)), not by a failing test. Running the tests once more."
    "$@"
    code=$?
fi
exit "$code"
