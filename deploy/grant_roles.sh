#!/bin/sh
# Give a person or a service app roles of the Dropbell API; what is there already is left.
#   deploy/grant_roles.sh <object id of the user or service principal> <role> [<role> …]
# It reads DROPBELL_API_CLIENT_ID from the environment. Who runs it may assign app roles in Entra ID.
set -eu

principal=$1
shift
api=$(az ad sp show --id "$DROPBELL_API_CLIENT_ID" --query id --output tsv)
assignments="https://graph.microsoft.com/v1.0/servicePrincipals/$api/appRoleAssignedTo"
for role in "$@"; do
  role_id=$(az ad sp show --id "$api" --query "appRoles[?value=='$role'].id" --output tsv)
  [ -n "$role_id" ] || { echo "The API has no app role $role." >&2; exit 1; }
  known=$(az rest --method GET --url "$assignments" --query "length(value[?principalId=='$principal' && appRoleId=='$role_id'])")
  if [ "$known" = 0 ]; then
    az rest --method POST --url "$assignments" --headers Content-Type=application/json --output none \
      --body "{\"principalId\":\"$principal\",\"resourceId\":\"$api\",\"appRoleId\":\"$role_id\"}"
  fi
  echo "$principal has $role."
done
