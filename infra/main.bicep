// The function app on the Flex Consumption plan, with its storage account and its logs.
// What is deployed is main.json. `bicep build infra/main.bicep` makes it out of this file.

@description('The Azure region of all resources.')
param location string = resourceGroup().location

@description('Tags of all resources.')
param tags { *: string } = {}

@description('Name of the function app, unique in all of Azure. The other resources are named after it.')
@minLength(2)
@maxLength(55)
param appName string = 'func-${uniqueString(resourceGroup().id)}'

@description('Name of the storage account, unique in all of Azure.')
@minLength(3)
@maxLength(24)
param storageName string = 'st${uniqueString(resourceGroup().id, appName)}'

@description('Memory of an instance in MB. Azure charges by it.')
@allowed([512, 2048, 4096])
param memory int = 2048

@description('Whether the app sends its logs to Application Insights, which can cost money.')
param logs bool = true

@description('Whether the app uses a key of the storage account and no identity. For those who may not assign roles.')
param storageKeys bool = false

resource storage 'Microsoft.Storage/storageAccounts@2025-08-01' = {
  name: storageName
  location: location
  tags: tags
  kind: 'StorageV2'
  sku: { name: 'Standard_LRS' }
  properties: {
    allowBlobPublicAccess: false
    allowSharedKeyAccess: storageKeys
    minimumTlsVersion: 'TLS1_2'
    supportsHttpsTrafficOnly: true
  }

  resource blobs 'blobServices' = {
    name: 'default'
    resource packages 'containers' = { name: 'app-package' }
  }
}

resource identity 'Microsoft.ManagedIdentity/userAssignedIdentities@2024-11-30' = if (!storageKeys) {
  name: 'id-${appName}'
  location: location
  tags: tags
}

var storageRoles = [
  'b7e6dc6d-f1e8-4753-8033-0f276bb0955b' // Storage Blob Data Owner: the package and the keys
  '0a9a7e1f-b9d0-4cc4-a60d-0319b160aaa3' // Storage Table Data Contributor: the host's diagnostic events
]

resource storageAccess 'Microsoft.Authorization/roleAssignments@2022-04-01' = [
  for role in storageRoles: if (!storageKeys) {
    name: guid(storage.id, identity.id, role)
    scope: storage
    properties: {
      principalId: identity!.properties.principalId
      principalType: 'ServicePrincipal' // Without it Azure looks the new identity up, and may not find it yet.
      roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', role)
    }
  }
]

resource workspace 'Microsoft.OperationalInsights/workspaces@2025-02-01' = if (logs) {
  name: 'log-${appName}'
  location: location
  tags: tags
  properties: { sku: { name: 'PerGB2018' }, retentionInDays: 30 }
}

resource insights 'Microsoft.Insights/components@2020-02-02' = if (logs) {
  name: 'appi-${appName}'
  location: location
  tags: tags
  kind: 'web'
  properties: { Application_Type: 'web', WorkspaceResourceId: workspace.id }
}

resource plan 'Microsoft.Web/serverfarms@2025-03-01' = {
  name: 'plan-${appName}'
  location: location
  tags: tags
  kind: 'functionapp'
  sku: { name: 'FC1', tier: 'FlexConsumption' }
  properties: { reserved: true } // Linux
}

var storageSettings = storageKeys
  ? {
      AzureWebJobsStorage: 'DefaultEndpointsProtocol=https;AccountName=${storage.name};AccountKey=${storage.listKeys().keys[0].value};EndpointSuffix=${environment().suffixes.storage}'
    }
  : {
      AzureWebJobsStorage__accountName: storage.name
      AzureWebJobsStorage__clientId: identity!.properties.clientId
      AzureWebJobsStorage__credential: 'managedidentity'
    }
var logSettings = logs ? { APPLICATIONINSIGHTS_CONNECTION_STRING: insights!.properties.ConnectionString } : {}

resource app 'Microsoft.Web/sites@2025-03-01' = {
  name: appName
  location: location
  tags: tags
  kind: 'functionapp,linux'
  identity: storageKeys ? { type: 'None' } : { type: 'UserAssigned', userAssignedIdentities: { '${identity.id}': {} } }
  properties: {
    serverFarmId: plan.id
    httpsOnly: true
    functionAppConfig: {
      runtime: { name: 'custom', version: '1.0' }
      scaleAndConcurrency: { instanceMemoryMB: memory, maximumInstanceCount: 100 }
      deployment: {
        storage: {
          type: 'blobContainer'
          value: '${storage.properties.primaryEndpoints.blob}${storage::blobs::packages.name}'
          authentication: storageKeys
            ? { type: 'StorageAccountConnectionString', storageAccountConnectionStringName: 'AzureWebJobsStorage' }
            : { type: 'UserAssignedIdentity', userAssignedIdentityResourceId: identity.id }
        }
      }
    }
    siteConfig: {
      // Deployed over an app that is there, these replace all of its settings.
      appSettings: map(items({ ...storageSettings, ...logSettings }), s => { name: s.key, value: s.value })
    }
  }
  // The app comes last, so an app that is there has all that it needs. The roles come early, for it
  // takes minutes until they hold.
  dependsOn: [storageAccess]
}

@description('The host name of the app.')
output host string = app.properties.defaultHostName
