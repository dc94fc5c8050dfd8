import { readFile } from 'node:fs/promises'
import { transformSync } from '@swc/wasm-typescript'

export async function load(url, context, nextLoad) {
  if (!url.endsWith('.ts')) return nextLoad(url, context)
  const { code } = transformSync(await readFile(new URL(url), 'utf8'), { mode: 'strip-only' })
  return { format: 'module', source: code, shortCircuit: true }
}
