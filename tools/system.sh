#!/bin/sh
# Install the system packages that Qt and a virtual framebuffer need, where they are missing and apt is there.
# usage: tools/system.sh PYTHON
set -eu
python=${1:-python3}

command -v apt-get >/dev/null 2>&1 || exit 0
missing=""
for package in xvfb xauth libglib2.0-0 libgl1 libegl1 libfontconfig1 libdbus-1-3 libxkbcommon-x11-0 libxkbcommon0 libxcb-icccm4 libxcb-keysyms1 \
    libxcb-shape0 libxcb-image0 libxcb-render-util0 libxcb-xinerama0 libxcb-xkb1 libxcb-cursor0 fonts-dejavu-core; do
    # newer releases rename some of these (libglib2.0-0t64): what provides the name counts
    dpkg-query -W -f='${Status} ${Provides}\n' "$package" "${package}t64" 2>/dev/null | grep -q "install ok installed" || missing="$missing $package"
done
"$python" -c "import ensurepip" 2>/dev/null || missing="$missing python3-venv"
[ -n "$missing" ] || exit 0

as_root=""
if [ "$(id -u)" != 0 ]; then
    command -v sudo >/dev/null 2>&1 || { echo "These system packages are missing, and this user cannot install them:$missing" >&2; echo "Ask an administrator: apt-get install$missing" >&2; exit 1; }
    as_root="sudo"
fi
echo "Installing system packages:$missing"
$as_root apt-get update -qq
DEBIAN_FRONTEND=noninteractive $as_root apt-get install -y -qq --no-install-recommends $missing >/dev/null
