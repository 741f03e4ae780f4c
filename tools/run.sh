#!/bin/sh
# `make run`: the window with a sample open; without a display the same loop headless, with pictures and a screenshot.
set -eu
: "${BIN:=.venv-pyqt5/bin}" "${OUT:=out}"
if [ -n "${DISPLAY:-}${WAYLAND_DISPLAY:-}" ] || [ "$(uname)" = Darwin ]; then
    exec "$BIN/segtool" gui --sample em
fi
echo "There is no display: running the loop headless (about three minutes)."
n=1
while [ -e "$OUT/demo-$n" ]; do n=$((n + 1)); done
"$BIN/segtool" demo --out "$OUT/demo-$n" --minutes "${MINUTES:-1}"
xvfb-run -a -s "-screen 0 1920x1080x24" "$BIN/segtool" gui --sample em --screenshot "$OUT/demo-$n/window.png"
echo "Labels, figures and a screenshot of the window are in $OUT/demo-$n:"
ls "$OUT/demo-$n"
