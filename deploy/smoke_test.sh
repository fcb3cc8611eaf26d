#!/bin/sh
# Whether what was deployed works: the release of the package answers, a file comes in, is announced and, with a target, delivered.
#   deploy/smoke_test.sh <package.zip>
# It reads DROPBELL_API_URL and DROPBELL_API_SCOPE_PREFIX, and DROPBELL_SMOKE_TARGET (with DROPBELL_SMOKE_CHANNEL, webhook or chat)
# where there is a receiver to tell. It signs in as the Azure CLI is, a service with the app roles Files.ReadWrite.All,
# Subscriptions.Manage.All and Deliveries.Read.All (deploy/grant_roles.sh).
set -eu

DROPBELL_API=$DROPBELL_API_URL
DROPBELL_TOKEN=$(az account get-access-token --scope "$DROPBELL_API_SCOPE_PREFIX/.default" --query accessToken --output tsv)
export DROPBELL_API DROPBELL_TOKEN
[ -z "${GITHUB_ACTIONS:-}" ] || echo "::add-mask::$DROPBELL_TOKEN"

release=$(python3 -c 'import sys, zipfile; print(zipfile.ZipFile(sys.argv[1]).read("shared/release.txt").decode().strip())' "$1")
set -- --release "$release" --timeout 900
if [ -n "${DROPBELL_SMOKE_TARGET:-}" ]; then
  set -- "$@" --target "$DROPBELL_SMOKE_TARGET" --channel "${DROPBELL_SMOKE_CHANNEL:-webhook}"
fi
dropbell smoke "$@"
