// Uppy as its own manual sets it up; config.json says where the API is and as whom to sign in.
import Uppy from '@uppy/core'
import Dashboard from '@uppy/dashboard'
import Tus from '@uppy/tus'
import '@uppy/core/css/style.min.css'
import '@uppy/dashboard/css/style.min.css'

const config = await (await fetch('config.json')).json()

new Uppy()
  .use(Dashboard, { target: '#dashboard', inline: true, height: 400 })
  .use(Tus, {
    endpoint: config.endpoint,
    headers: { authorization: `Bearer ${config.token}` },
    chunkSize: config.chunk_bytes,
    onAfterResponse(_request, response) {
      const fileId = response.getHeader('Dropbell-File-Id')
      if (fileId) document.querySelector('#file-id').value = fileId
    },
  })
