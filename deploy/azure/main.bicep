// otpgate on Azure Container Apps: two or more replicas, an Azure Managed Redis that only their network reaches, and every
// secret in a Key Vault that only their identity reads.
//
//   az group create --name otpgate --location westeurope
//   az deployment group create --resource-group otpgate --template-file deploy/azure/main.bicep \
//     --parameters image=registry.example.com/otpgate:0.1.0 publicUrl=https://otp.example.com \
//     --parameters masterKey="$(openssl rand -hex 32)" adminToken="$(openssl rand -hex 32)"
//
//   az containerapp job start --resource-group otpgate --name otpgate-init      # makes the store, once
//
// Keep a copy of the master key apart from every backup. Later deployments say secretsExist=true and leave both secrets out:
// what the vault holds then stays. Where storeUrl is given, each time, no Redis is made.

@description('Where everything is.')
param location string = resourceGroup().location

@description('What the names of the resources begin with: 3 to 11 small letters and digits.')
@minLength(3)
@maxLength(11)
param name string = 'otpgate'

@description('The image of the gateway, in a registry that may be read without credentials, or by the identity made here.')
param image string

@description('The registry that the identity signs in to, such as example.azurecr.io; it needs AcrPull there. Empty: none.')
param registry string = ''

@description('What callers\' addresses begin with, such as https://otp.example.com; its name is bound to the app afterwards.')
param publicUrl string

@description('A Redis or Valkey that is there already, with user and password. Empty: one is made.')
@secure()
param storeUrl string = ''

@description('Whether the secrets of this deployment are in the vault already.')
param secretsExist bool = false

@description('64 hexadecimal digits. Empty only where secretsExist.')
@secure()
param masterKey string = ''

@description('16 characters or more. Empty only where secretsExist.')
@secure()
param adminToken string = ''

@description('The countries that codes are sent to, such as DE,AT. With the sandbox alone, all.')
param countries string = 'all'

@minValue(2)
param minReplicas int = 2

@minValue(2)
param maxReplicas int = 10

var unique = substring(uniqueString(resourceGroup().id, name), 0, 8)
var makesRedis = empty(storeUrl)
// Key Vault Secrets User, the same in every tenant.
var secretsUser = subscriptionResourceId('Microsoft.Authorization/roleDefinitions', '4633458b-17de-408a-b874-0445c86b69e6')

resource identity 'Microsoft.ManagedIdentity/userAssignedIdentities@2023-01-31' = {
  name: '${name}-gateway'
  location: location
}

resource vault 'Microsoft.KeyVault/vaults@2023-07-01' = {
  name: '${name}-${unique}'
  location: location
  properties: {
    tenantId: subscription().tenantId
    sku: {
      family: 'A'
      name: 'standard'
    }
    enableRbacAuthorization: true
    enableSoftDelete: true
    softDeleteRetentionInDays: 90
    // The master key cannot be lost by deleting the vault.
    enablePurgeProtection: true
  }
}

resource masterKeySecret 'Microsoft.KeyVault/vaults/secrets@2023-07-01' = if (!secretsExist) {
  parent: vault
  name: 'master-key'
  properties: {
    value: masterKey
  }
}

resource adminTokenSecret 'Microsoft.KeyVault/vaults/secrets@2023-07-01' = if (!secretsExist) {
  parent: vault
  name: 'admin-token'
  properties: {
    value: adminToken
  }
}

resource storeUrlSecret 'Microsoft.KeyVault/vaults/secrets@2023-07-01' = {
  parent: vault
  name: 'store-url'
  properties: {
    value: makesRedis ? 'rediss://:${uriComponent(database.listKeys().primaryKey)}@${redis.properties.hostName}:10000' : storeUrl
  }
}

resource readsSecrets 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(vault.id, identity.id, secretsUser)
  scope: vault
  properties: {
    principalId: identity.properties.principalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: secretsUser
  }
}

resource network 'Microsoft.Network/virtualNetworks@2024-05-01' = {
  name: '${name}-network'
  location: location
  properties: {
    addressSpace: {
      addressPrefixes: ['10.80.0.0/16']
    }
    subnets: [
      {
        name: 'gateways'
        properties: {
          addressPrefix: '10.80.0.0/23'
          delegations: [
            {
              name: 'environment'
              properties: {
                serviceName: 'Microsoft.App/environments'
              }
            }
          ]
        }
      }
      {
        name: 'endpoints'
        properties: {
          addressPrefix: '10.80.2.0/24'
          privateEndpointNetworkPolicies: 'Enabled'
        }
      }
    ]
  }
}

resource gatewaySubnet 'Microsoft.Network/virtualNetworks/subnets@2024-05-01' existing = {
  parent: network
  name: 'gateways'
}

resource endpointSubnet 'Microsoft.Network/virtualNetworks/subnets@2024-05-01' existing = {
  parent: network
  name: 'endpoints'
}

resource redis 'Microsoft.Cache/redisEnterprise@2025-04-01' = if (makesRedis) {
  name: '${name}-${unique}'
  location: location
  sku: {
    name: 'Balanced_B1'
  }
  properties: {
    minimumTlsVersion: '1.2'
    highAvailability: 'Enabled'
    publicNetworkAccess: 'Disabled'
  }
}

resource database 'Microsoft.Cache/redisEnterprise/databases@2025-04-01' = if (makesRedis) {
  parent: redis
  name: 'default'
  properties: {
    clientProtocol: 'Encrypted'
    port: 10000
    // One address for all its shards.
    clusteringPolicy: 'EnterpriseCluster'
    // A gateway keeps records here, not a cache: nothing may be thrown away.
    evictionPolicy: 'NoEviction'
    persistence: {
      aofEnabled: true
      aofFrequency: '1s'
    }
    accessKeysAuthentication: 'Enabled'
  }
}

resource endpoint 'Microsoft.Network/privateEndpoints@2024-05-01' = if (makesRedis) {
  name: '${name}-redis'
  location: location
  properties: {
    subnet: {
      id: endpointSubnet.id
    }
    privateLinkServiceConnections: [
      {
        name: 'redis'
        properties: {
          privateLinkServiceId: redis.id
          groupIds: ['redisEnterprise']
        }
      }
    ]
  }
}

resource zone 'Microsoft.Network/privateDnsZones@2024-06-01' = if (makesRedis) {
  name: 'privatelink.redis.azure.net'
  location: 'global'
}

resource zoneLink 'Microsoft.Network/privateDnsZones/virtualNetworkLinks@2024-06-01' = if (makesRedis) {
  parent: zone
  name: '${name}-network'
  location: 'global'
  properties: {
    registrationEnabled: false
    virtualNetwork: {
      id: network.id
    }
  }
}

resource zoneGroup 'Microsoft.Network/privateEndpoints/privateDnsZoneGroups@2024-05-01' = if (makesRedis) {
  parent: endpoint
  name: 'default'
  properties: {
    privateDnsZoneConfigs: [
      {
        name: 'redis'
        properties: {
          privateDnsZoneId: zone.id
        }
      }
    ]
  }
}

resource logs 'Microsoft.OperationalInsights/workspaces@2023-09-01' = {
  name: '${name}-logs'
  location: location
  properties: {
    retentionInDays: 30
    sku: {
      name: 'PerGB2018'
    }
  }
}

resource environment 'Microsoft.App/managedEnvironments@2024-03-01' = {
  name: '${name}-environment'
  location: location
  properties: {
    vnetConfiguration: {
      infrastructureSubnetId: gatewaySubnet.id
      internal: false
    }
    appLogsConfiguration: {
      destination: 'log-analytics'
      logAnalyticsConfiguration: {
        customerId: logs.properties.customerId
        sharedKey: logs.listKeys().primarySharedKey
      }
    }
    workloadProfiles: [
      {
        name: 'Consumption'
        workloadProfileType: 'Consumption'
      }
    ]
  }
}

resource gateway 'Microsoft.App/containerApps@2024-03-01' = {
  name: name
  location: location
  identity: {
    type: 'UserAssigned'
    userAssignedIdentities: {
      '${identity.id}': {}
    }
  }
  properties: {
    managedEnvironmentId: environment.id
    workloadProfileName: 'Consumption'
    configuration: {
      activeRevisionsMode: 'Single'
      ingress: {
        external: true
        // The admin listener has no ingress: it is not reachable.
        targetPort: 8080
        transport: 'auto'
        allowInsecure: false
      }
      registries: empty(registry) ? [] : [
        {
          server: registry
          identity: identity.id
        }
      ]
      secrets: [
        {
          name: 'master-key'
          keyVaultUrl: '${vault.properties.vaultUri}secrets/master-key'
          identity: identity.id
        }
        {
          name: 'admin-token'
          keyVaultUrl: '${vault.properties.vaultUri}secrets/admin-token'
          identity: identity.id
        }
        {
          name: 'store-url'
          keyVaultUrl: '${vault.properties.vaultUri}secrets/store-url'
          identity: identity.id
        }
      ]
    }
    template: {
      // Longer than the drain.
      terminationGracePeriodSeconds: 60
      containers: [
        {
          name: 'otpgate'
          image: image
          resources: {
            cpu: json('0.5')
            memory: '1Gi'
          }
          env: [
            {
              name: 'OTPGATE_PUBLIC_URL'
              value: publicUrl
            }
            {
              name: 'OTPGATE_STORE_URL'
              secretRef: 'store-url'
            }
            {
              // A replica keeps nothing of its own: a store that was emptied is not taken for a new one.
              name: 'OTPGATE_STORE_CREATE'
              value: 'false'
            }
            {
              name: 'OTPGATE_MASTER_KEY_FILE'
              value: '/run/secrets/otpgate/master-key'
            }
            {
              name: 'OTPGATE_ADMIN_LISTEN'
              value: '0.0.0.0:8081'
            }
            {
              name: 'OTPGATE_ADMIN_TOKEN_FILE'
              value: '/run/secrets/otpgate/admin-token'
            }
            {
              // The environment's own proxies.
              name: 'OTPGATE_TRUSTED_PROXIES'
              value: '10.80.0.0/23,100.100.0.0/16'
            }
            {
              name: 'OTPGATE_SERVER_DRAIN_DELAY'
              value: '10s'
            }
            {
              name: 'OTPGATE_SERVER_DRAIN_TIMEOUT'
              value: '40s'
            }
            {
              name: 'OTPGATE_DELIVERY_COUNTRIES'
              value: countries
            }
            {
              name: 'OTPGATE_LOG_FORMAT'
              value: 'json'
            }
          ]
          volumeMounts: [
            {
              volumeName: 'secrets'
              mountPath: '/run/secrets/otpgate'
            }
          ]
          probes: [
            {
              type: 'Startup'
              periodSeconds: 1
              failureThreshold: 60
              httpGet: {
                path: '/health/live'
                port: 8080
              }
            }
            {
              type: 'Liveness'
              periodSeconds: 10
              timeoutSeconds: 5
              failureThreshold: 3
              httpGet: {
                path: '/health/live'
                port: 8080
              }
            }
            {
              type: 'Readiness'
              periodSeconds: 2
              timeoutSeconds: 2
              failureThreshold: 1
              httpGet: {
                path: '/health/ready'
                port: 8080
              }
            }
          ]
        }
      ]
      volumes: [
        {
          name: 'secrets'
          storageType: 'Secret'
          secrets: [
            {
              secretRef: 'master-key'
              path: 'master-key'
            }
            {
              secretRef: 'admin-token'
              path: 'admin-token'
            }
          ]
        }
      ]
      scale: {
        minReplicas: minReplicas
        maxReplicas: maxReplicas
        rules: [
          {
            name: 'calls'
            http: {
              metadata: {
                concurrentRequests: '200'
              }
            }
          }
        ]
      }
    }
  }
  dependsOn: [
    readsSecrets
    masterKeySecret
    adminTokenSecret
    storeUrlSecret
    zoneGroup
    zoneLink
  ]
}

// Makes the store, when it is started by hand: once, and after a loss that nothing can be restored of.
resource init 'Microsoft.App/jobs@2024-03-01' = {
  name: '${name}-init'
  location: location
  identity: {
    type: 'UserAssigned'
    userAssignedIdentities: {
      '${identity.id}': {}
    }
  }
  properties: {
    environmentId: environment.id
    workloadProfileName: 'Consumption'
    configuration: {
      triggerType: 'Manual'
      replicaTimeout: 120
      replicaRetryLimit: 0
      manualTriggerConfig: {
        parallelism: 1
        replicaCompletionCount: 1
      }
      registries: empty(registry) ? [] : [
        {
          server: registry
          identity: identity.id
        }
      ]
      secrets: [
        {
          name: 'master-key'
          keyVaultUrl: '${vault.properties.vaultUri}secrets/master-key'
          identity: identity.id
        }
        {
          name: 'store-url'
          keyVaultUrl: '${vault.properties.vaultUri}secrets/store-url'
          identity: identity.id
        }
      ]
    }
    template: {
      containers: [
        {
          name: 'otpgate'
          image: image
          args: ['store', 'init']
          resources: {
            cpu: json('0.25')
            memory: '0.5Gi'
          }
          env: [
            {
              // It listens nowhere: the image's address would ask for a public_url.
              name: 'OTPGATE_LISTEN'
              value: '127.0.0.1:8080'
            }
            {
              name: 'OTPGATE_STORE_URL'
              secretRef: 'store-url'
            }
            {
              name: 'OTPGATE_MASTER_KEY_FILE'
              value: '/run/secrets/otpgate/master-key'
            }
          ]
          volumeMounts: [
            {
              volumeName: 'secrets'
              mountPath: '/run/secrets/otpgate'
            }
          ]
        }
      ]
      volumes: [
        {
          name: 'secrets'
          storageType: 'Secret'
          secrets: [
            {
              secretRef: 'master-key'
              path: 'master-key'
            }
          ]
        }
      ]
    }
  }
  dependsOn: [
    readsSecrets
    masterKeySecret
    storeUrlSecret
    zoneGroup
    zoneLink
  ]
}

@description('Where the gateway is until its own name is bound to it.')
output address string = 'https://${gateway.properties.configuration.ingress.fqdn}'

@description('Where the secrets are.')
output vaultName string = vault.name
