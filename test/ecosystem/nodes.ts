import { spawnSync } from 'node:child_process'

/** Those that get fixes, and the ones before them that are still in use. */
const VERSIONS = ['20', '22', '24', '26']

/**
 * Runs the tests on each version of Node in turn, which npm brings: without arguments those that need no program, since
 * browsers and proxies do not ask for the version; otherwise as `npm test` does with these. NODES=22,24 runs these only.
 */
const versions = process.env.NODES?.split(',') ?? VERSIONS
const args = process.argv.length > 2 ? process.argv.slice(2) : ['--core']
const failed: string[] = []
if (versions.some((version) => !/^\d+$/.test(version))) throw new Error(`NODES=${process.env.NODES}`)
for (const version of versions) {
  const check = `node -p "process.exitCode = Number(process.versions.node.split('.')[0] !== '${version}'), process.version"`
  const command = `${check} && node --import ./test/helpers/strip-types/register.js test/run.ts ${args.join(' ')}`
  const { status, signal } = spawnSync('npx', ['--yes', `--package=node@${version}`, '--call', command], {
    stdio: 'inherit'
  })
  if (status !== 0) failed.push(`${version} (${signal ?? `status ${status}`})`)
}
console.log(
  failed.length === 0 ? `All passed on Node ${versions.join(', ')}` : `Failed on Node ${failed.join(', ')}`
)
process.exitCode = failed.length
