// @tus/server with @tus/azure-store, as their manuals set them up, on the storage account that it is given.
import { parseArgs } from 'node:util'
import { ContainerClient } from '@azure/storage-blob'
import { AzureStore } from '@tus/azure-store'
import { Server } from '@tus/server'

const { values: options } = parseArgs({
  options: { 'connection-string': { type: 'string' }, container: { type: 'string' } },
})

const client = new ContainerClient(options['connection-string'], options.container)
await client.createIfNotExists()
const server = new Server({ path: '/uploads', datastore: new AzureStore({ client }) })
const listener = server.listen({ host: '127.0.0.1', port: 0 }, () => {
  console.log(`http://127.0.0.1:${listener.address().port}/uploads`)
})
