import { createHash } from 'node:crypto'
import { mkdir, readFile, rename, writeFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'

/** What was stripped, by its content: 80 processes load the same modules, and each would load the stripper for them. */
const CACHE = new URL('../../../node_modules/.cache/strip-types/', import.meta.url)
const STRIPPER = new URL('../../../node_modules/@swc/wasm-typescript/package.json', import.meta.url)

const { version } = JSON.parse(await readFile(STRIPPER, 'utf8'))

export async function load(url, context, nextLoad) {
  if (!url.endsWith('.ts') || url.includes('/node_modules/')) return nextLoad(url, context)
  const source = await readFile(new URL(url), 'utf8')
  const key = createHash('sha256').update(`${version}\n${source}`).digest('hex')
  const cached = new URL(`${key}.js`, CACHE)
  const code = (await read(cached)) ?? (await strip(source, url, cached))
  return { format: 'module', source: code, shortCircuit: true }
}

async function strip(source, url, cached) {
  const { transformSync } = await import('@swc/wasm-typescript')
  const { code } = transformSync(source, { mode: 'strip-only', filename: fileURLToPath(url) })
  await keep(cached, code)
  return code
}

/** @returns nothing if it is not there. */
function read(file) {
  return readFile(file, 'utf8').catch(() => undefined)
}

/** Whole or not at all, whoever reads or writes it meanwhile; where it cannot be kept it is stripped again. */
async function keep(file, code) {
  const whole = new URL(`${file}.${process.pid}`)
  try {
    await mkdir(CACHE, { recursive: true })
    await writeFile(whole, code)
    await rename(whole, file)
  } catch {}
}
