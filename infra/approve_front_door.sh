#!/usr/bin/env bash
# Approves the private endpoint connections that Front Door Premium has asked for. Run once after main.bicep; harmless again.
#   infra/approve_front_door.sh <resource group> <function app> <data storage account>
set -euo pipefail

group=$1 app=$2 storage=$3
for resource in \
  "$(az functionapp show --resource-group "$group" --name "$app" --query id --output tsv)" \
  "$(az storage account show --resource-group "$group" --name "$storage" --query id --output tsv)"; do
  az network private-endpoint-connection list --id "$resource" --output tsv \
    --query "[?properties.privateLinkServiceConnectionState.status=='Pending' && contains(properties.privateLinkServiceConnectionState.description, 'Dropbell')].id" |
    while read -r connection; do
      az network private-endpoint-connection approve --id "$connection" --description "Dropbell's Front Door" --output none
      echo "approved: $connection"
    done
done
