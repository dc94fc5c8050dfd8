let path
let broken

/** @param {{ file: string, line: string, by: string }} fault */
export function initialize({ file, line, by }) {
  path = new URL(`../../lib/${file}`, import.meta.url).href
  broken = (source) => {
    const parts = source.split(line)
    if (parts.length !== 2) throw new Error(`lib/${file} has ${parts.length - 1} times: ${line}`)
    return parts.join(by)
  }
}

export async function load(url, context, nextLoad) {
  const loaded = await nextLoad(url, context)
  return url === path ? { ...loaded, source: broken(String(loaded.source)) } : loaded
}
