// Microsoft's Kusto parser (npm) as a command line: what it says of each query file, against the tables that a JSON file describes
// (name → columns as Kusto writes them). Prints one line of JSON: file → messages.
import { createRequire } from 'node:module'
import { readFileSync } from 'node:fs'
import { runInThisContext } from 'node:vm'

const require = createRequire(import.meta.url)
// The package's files expect each other's globals, as in a page.
for (const file of ['bridge.min.js', 'Kusto.Language.Bridge.min.js']) {
  const path = require.resolve(`@kusto/language-service-next/${file}`)
  runInThisContext(readFileSync(path, 'utf8'), { filename: path })
}
const { GlobalState, KustoCode, Symbols } = globalThis.Kusto.Language

const [tablesFile, ...queries] = process.argv.slice(2)
const tables = Object.entries(JSON.parse(readFileSync(tablesFile, 'utf8'))).map(([name, columns]) =>
  Symbols.TableSymbol.From(`(${columns})`).WithName(name),
)
// One constructor for each form of the original's arguments; the third takes a name and symbols.
const database = new Symbols.DatabaseSymbol.$ctor3('insights', null, tables, false)
const globals = GlobalState.Default.WithDatabase(database)

function messages(file) {
  const found = KustoCode.ParseAndAnalyze(readFileSync(file, 'utf8'), globals).GetDiagnostics()
  return Array.from({ length: found.Count }, (_, index) => found.getItem(index).Message)
}

process.stdout.write(`${JSON.stringify(Object.fromEntries(queries.map((file) => [file, messages(file)])))}\n`)
