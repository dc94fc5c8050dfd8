import { type BuildOptions, build } from 'esbuild'

/**
 * A module, by its path from here or by its source, with all that it imports, as a page loads it.
 *
 * @param mode what libraries are told that have another build for those who develop.
 */
export async function bundle(
  module: string,
  mode: 'production' | 'development' = 'production'
): Promise<Uint8Array> {
  const resolveDir = import.meta.dirname
  const isSource = module.startsWith('import ')
  const from: BuildOptions = isSource
    ? { stdin: { contents: module, resolveDir } }
    : { entryPoints: [module], absWorkingDir: resolveDir }
  const { outputFiles = [] } = await build({
    ...from,
    bundle: true,
    minify: true,
    format: 'esm',
    target: 'es2022',
    write: false,
    define: { 'process.env.NODE_ENV': JSON.stringify(mode) },
    // Nothing is left out because a `package.json` says so.
    ignoreAnnotations: true
  })
  const [file] = outputFiles
  if (file === undefined) throw new Error(`nothing came of ${module}`)
  return file.contents
}
