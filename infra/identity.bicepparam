using 'main.bicep'

param appName = 'random-number-a042886a3c'
param storageName = 'randomnumbera042886a3c'
param tags = { 'created-by': 'random-number-provision.sh', 'function-app': 'random-number-a042886a3c' }
