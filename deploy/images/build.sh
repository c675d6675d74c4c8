#!/bin/sh
# The steps of the builder, in a fresh Debian 12 with this repository as the working folder: build.sh FOLDER.
# The Dockerfile runs it.
set -eu
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
apt-get install --yes -qq --no-install-recommends ca-certificates python3.11 python3.11-venv >/dev/null
python3.11 -m deploy.local.bootstrap runtime
.venv/bin/python -m deploy.images build "$1"
