#!/bin/sh
# After the code is deployed: subscribe the blob trigger to Blob Storage's events, and approve Front Door's private links.
# azd runs it (azure.yaml), the workflow runs it, people can; running it again is harmless. It reads from the environment
# AZURE_RESOURCE_GROUP and the outputs of infra/main.bicep, and uses the Azure CLI's own sign-in (az login).
set -eu
cd "$(dirname "$0")/.."

tries=${DROPBELL_CONNECT_TRIES:-10}   # the host makes the key when it has loaded the code; a cold start can miss the handshake
pause_seconds=${DROPBELL_CONNECT_PAUSE_SECONDS:-15}

try=1
until az deployment group create --resource-group "$AZURE_RESOURCE_GROUP" --name dropbell-events \
  --template-file infra/events.bicep --output none \
  --parameters functionAppName="$DROPBELL_FUNCTION_APP" eventTopicName="$DROPBELL_EVENT_TOPIC" \
  dataStorageName="$DROPBELL_DATA_STORAGE"; do
  if [ "$try" -ge "$tries" ]; then
    echo "The event subscription could not be made in $tries tries; the reason is above. Files are stored meanwhile," >&2
    echo "and announced ten minutes late by the sweep. Run deploy/connect_events.sh again." >&2
    exit 1
  fi
  echo "try $try of $tries did not succeed; the host may still be loading the code" >&2
  try=$((try + 1))
  sleep "$pause_seconds"
done
echo "Blob Storage's events reach $DROPBELL_FUNCTION_APP."

if [ "${DROPBELL_FRONT_DOOR:-None}" = Premium ]; then
  bash infra/approve_front_door.sh "$AZURE_RESOURCE_GROUP" "$DROPBELL_FUNCTION_APP" "$DROPBELL_DATA_STORAGE"
fi
