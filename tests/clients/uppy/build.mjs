// Bundles the page into the folder that is named on the command line.
import { copyFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'

const folder = process.argv[2]
const here = (name) => fileURLToPath(new URL(name, import.meta.url))

await build({
  entryPoints: [here('page.js')],
  outdir: folder,
  bundle: true,
  format: 'esm',
  target: 'es2022',
  logLevel: 'warning',
})
await copyFile(here('index.html'), `${folder}/index.html`)
