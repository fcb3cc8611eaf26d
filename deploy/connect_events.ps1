# What connect_events.sh does, for Windows.
$ErrorActionPreference = 'Stop'
Set-Location (Join-Path $PSScriptRoot '..')

$tries = if ($env:DROPBELL_CONNECT_TRIES) { [int]$env:DROPBELL_CONNECT_TRIES } else { 10 }
$pauseSeconds = if ($env:DROPBELL_CONNECT_PAUSE_SECONDS) { [int]$env:DROPBELL_CONNECT_PAUSE_SECONDS } else { 15 }

for ($try = 1; ; $try++) {
    az deployment group create --resource-group $env:AZURE_RESOURCE_GROUP --name dropbell-events `
        --template-file infra/events.bicep --output none `
        --parameters functionAppName=$env:DROPBELL_FUNCTION_APP eventTopicName=$env:DROPBELL_EVENT_TOPIC `
        dataStorageName=$env:DROPBELL_DATA_STORAGE
    if ($LASTEXITCODE -eq 0) { break }
    if ($try -ge $tries) {
        throw "The event subscription could not be made in $tries tries; the reason is above. Run deploy/connect_events.ps1 again."
    }
    Write-Host "try $try of $tries did not succeed; the host may still be loading the code"
    Start-Sleep -Seconds $pauseSeconds
}
Write-Host "Blob Storage's events reach $env:DROPBELL_FUNCTION_APP."

if ($env:DROPBELL_FRONT_DOOR -eq 'Premium') {
    bash infra/approve_front_door.sh $env:AZURE_RESOURCE_GROUP $env:DROPBELL_FUNCTION_APP $env:DROPBELL_DATA_STORAGE
    if ($LASTEXITCODE -ne 0) { throw 'The private links of Front Door are not approved; the reason is above.' }
}
