#!/bin/sh
# Put a package to work: a new one, or an earlier one to roll back.
#   deploy/deploy_package.sh <package.zip>
# It reads AZURE_RESOURCE_GROUP and DROPBELL_FUNCTION_APP from the environment.
set -eu

az functionapp deployment source config-zip --resource-group "$AZURE_RESOURCE_GROUP" --name "$DROPBELL_FUNCTION_APP" \
  --src "$1" --build-remote true --output none
echo "$1 is deployed to $DROPBELL_FUNCTION_APP."
