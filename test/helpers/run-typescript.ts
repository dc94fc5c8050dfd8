import { transformSync } from '@swc/wasm-typescript'

const IMPORT = /^import (.+) from '(.+)'\n/gm
/** A default import, named imports, or both. */
const CLAUSE = /^(\w+)?(?:, )?(?:\{ (.+) \})?$/

/** What this package's users import. */
const OWN = new Map([
  ['fastify-eventstream', '../../lib/index.ts'],
  ['fastify-eventstream/testing', '../../lib/testing/testing.ts'],
  ['fastify-eventstream/client', '../../lib/client/client.ts'],
  ['fastify-eventstream/client/shared', '../../lib/client/shared.ts'],
  ['fastify-eventstream/conformance', '../../lib/conformance/conformance.ts']
])

/** Runs TypeScript as the body of an async function that sees what it imports, and `scope`, which is preferred. */
export async function runTypeScript(code: string, scope: Record<string, unknown>): Promise<unknown> {
  const names = { ...(await imports(code)), ...scope }
  const { code: javaScript } = transformSync(code.replace(IMPORT, ''), { mode: 'strip-only' })
  const AsyncFunction = (async () => {}).constructor as FunctionConstructor
  return AsyncFunction(...Object.keys(names), javaScript)(...Object.values(names))
}

async function imports(code: string): Promise<Record<string, unknown>> {
  const found: [string, unknown][] = []
  for (const [, clause = '', from = ''] of code.matchAll(IMPORT)) {
    const module: Record<string, unknown> = await import(OWN.get(from) ?? from)
    const [, byDefault, named = ''] = CLAUSE.exec(clause) ?? []
    if (byDefault !== undefined) found.push([byDefault, module.default])
    for (const name of named.split(', ').filter(isValue)) found.push([name, module[name]])
  }
  return Object.fromEntries(found)
}

function isValue(name: string): boolean {
  return name !== '' && !name.startsWith('type ')
}
