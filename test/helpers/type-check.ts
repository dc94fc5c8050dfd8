import { fileURLToPath } from 'node:url'
import ts from 'typescript'

const ROOT = fileURLToPath(new URL('../../', import.meta.url))

const options: ts.CompilerOptions = {
  ...ts.parseJsonConfigFileContent(
    ts.readConfigFile(`${ROOT}tsconfig.json`, ts.sys.readFile).config,
    ts.sys,
    ROOT
  ).options,
  paths: {
    'fastify-eventstream': ['./lib/index.ts'],
    'fastify-eventstream/client': ['./lib/client/client.ts'],
    'fastify-eventstream/client/shared': ['./lib/client/shared.ts'],
    'fastify-eventstream/testing': ['./lib/testing/testing.ts']
  }
}
const host = ts.createCompilerHost(options)
const modules = ts.createModuleResolutionCache(ROOT, host.getCanonicalFileName, options)
const parsed = new Map<string, ts.SourceFile | undefined>()

/** What examples have that do not begin with a server of their own. */
export const SCOPE = `
  import type { FastifyInstance } from 'fastify'
  import 'fastify-eventstream'
  declare const app: FastifyInstance\n`

/**
 * What TypeScript says of programs that stand in one project, each a module with imports of its own. Of the files that they
 * import, `npm run types` says it.
 */
export function typeProblems(programs: readonly string[]): string[] {
  const sources = new Map(programs.map((text, number) => [`${ROOT}program-${number}.ts`, text]))
  const program = ts.createProgram([...sources.keys()], options, {
    ...host,
    fileExists: (path) => sources.has(path) || host.fileExists(path),
    readFile: (path) => sources.get(path) ?? host.readFile(path),
    getModuleResolutionCache: () => modules,
    getSourceFile: (path, version) => {
      const text = sources.get(path)
      if (text !== undefined) return ts.createSourceFile(path, text, version)
      if (!parsed.has(path)) parsed.set(path, host.getSourceFile(path, version))
      return parsed.get(path)
    }
  })
  return [...sources.keys()].flatMap((path) => {
    const file = program.getSourceFile(path)
    return [...program.getSyntacticDiagnostics(file), ...program.getSemanticDiagnostics(file)].map(textOf)
  })
}

function textOf({ file, start = 0, messageText }: ts.Diagnostic): string {
  const line = file?.getLineAndCharacterOfPosition(start).line ?? 0
  return `${file?.text.split('\n')[line]}: ${ts.flattenDiagnosticMessageText(messageText, '\n')}`
}
