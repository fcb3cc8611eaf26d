#!/bin/sh
# Make the package of a commit: what runs in Azure and nothing else, the same bytes for the same commit.
#   deploy/make_package.sh <package.zip> [commit]
# shared/release.txt says in it which commit it is (.gitattributes); /api/health?deep=1 tells it.
set -eu
cd "$(dirname "$0")/.."

git archive --format=zip --output "$1" "${2:-HEAD}" function_app.py host.json requirements.txt shared
echo "$1 is made of $(git rev-parse "${2:-HEAD}")."
