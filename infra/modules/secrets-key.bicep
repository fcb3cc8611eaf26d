// The key that seals webhook secrets and signs links (DROPBELL_SECRETS_KEY): made once, by nobody, and left alone ever after.
//
// A value that newGuid() gives exists only as the default of a parameter, so two such parameters are here, marked secure: no
// deployment history or log shows them, and no other template passes them. Each GUID holds 122 random bits (RFC 9562 §5.4).
// Hexadecimal digits are base64 digits too, so 42 of them and "A=" are the base64 of 32 bytes with some 160 random bits in them.
// Whoever wants 256 replaces the secret (openssl rand -base64 32) before the first subscription is made.

param vaultName string
param secretName string

@secure()
param firstSeed string = newGuid()

@secure()
param secondSeed string = newGuid()

resource vault 'Microsoft.KeyVault/vaults@2024-11-01' existing = {
  name: vaultName
}

// A deployment that finds the secret does not write it: a new key would make every sealed secret unreadable.
@onlyIfNotExists()
resource key 'Microsoft.KeyVault/vaults/secrets@2024-11-01' = {
  parent: vault
  name: secretName
  properties: {
    value: '${substring(replace('${firstSeed}${secondSeed}', '-', ''), 0, 42)}A='
    contentType: '32 bytes in base64: DROPBELL_SECRETS_KEY'
  }
}

output secretName string = secretName
@description('Where the secret is, not what it is.')
output secretUri string = '${vault.properties.vaultUri}secrets/${secretName}'
