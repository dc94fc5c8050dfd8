import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readdirSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { finished } from 'node:stream/promises'
import t, { type Test } from 'tap'
import { environmentOfPrograms } from './guardian.ts'
import { until } from './server.ts'

/** For `node --eval`: does nothing for ever, and says so. */
const IDLE = `console.log('idle'); setInterval(() => {}, 1e6)`
/** Where `startProgram()` and the others are at hand, and whatever is started holds the same output. */
const PRELUDE = `
  import { spawn } from 'node:child_process'
  import * as guardian from '${new URL('./guardian.ts', import.meta.url)}'
  const options = { stdio: 'inherit' }
  const isWindows = process.platform === 'win32'
  const idle = ['--eval', ${JSON.stringify(IDLE)}]
  const node = process.execPath\n`

interface Owner {
  readonly process: ChildProcess
  /** Resolves with the next line that the owner prints, or what it has started. */
  line(): Promise<string>
  /** Resolves when nothing runs any more that the owner has started, nor itself. */
  readonly alone: Promise<void>
}

/** A process that starts others, as tests do. */
function start(t: Test, script: string): Owner {
  const args = ['--import', 'tsx', '--input-type=module', '--eval', PRELUDE + script]
  const owner = spawn(process.execPath, args, {
    env: environmentOfPrograms(),
    stdio: ['pipe', 'pipe', 'inherit']
  })
  t.teardown(() => owner.kill('SIGKILL'))
  const lines = createInterface(owner.stdout)[Symbol.asyncIterator]()
  return {
    process: owner,
    line: async () => String((await lines.next()).value),
    alone: finished(owner.stdout.resume(), { writable: false })
  }
}

t.test('guardian › when a process is killed', async (t) => {
  t.test(
    'kills the programs that it started, also one that is stopped, and removes its folders',
    async (t) => {
      const owner = start(
        t,
        `guardian.startProgram(node, idle, options)
       const stopped = guardian.startProgram(node, idle, options)
       if (!isWindows) stopped.kill('SIGSTOP')
       console.log(guardian.temporaryFolder('guarded'))`
      )
      const lines = [await owner.line(), await owner.line()]
      const folder = lines.find((line) => line !== 'idle') ?? ''
      t.ok(existsSync(folder))
      owner.process.kill('SIGKILL')
      await owner.alone
      await until(() => !existsSync(folder))
    }
  )

  t.test('kills what those have started, also in a group of its own', async (t) => {
    const grandchild = `child_process.spawn(process.execPath, ${JSON.stringify(['--eval', IDLE])}, {
      stdio: 'inherit', detached: process.platform !== 'win32' })`
    const owner = start(t, `guardian.startProgram(node, ['--eval', ${JSON.stringify(grandchild)}], options)`)
    t.equal(await owner.line(), 'idle')
    owner.process.kill('SIGKILL')
    await owner.alone
  })

  t.test('kills what a program has left behind that ended itself', async (t) => {
    const leaves = `child_process.spawn(process.execPath, ${JSON.stringify(['--eval', IDLE])}, { stdio: 'inherit' })
      .once('spawn', () => process.exit())`
    const owner = start(
      t,
      `process.stdin.resume()
       guardian.startProgram(node, ['--eval', ${JSON.stringify(leaves)}], options)
         .once('exit', () => setImmediate(() => console.log('left')))`
    )
    t.same(new Set([await owner.line(), await owner.line()]), new Set(['idle', 'left']))
    owner.process.kill('SIGKILL')
    await owner.alone
  })

  t.test('kills what a library started while it was watched', async (t) => {
    const owner = start(
      t,
      `await guardian.watchOver(async () => {
         await null
         spawn(node, idle, options)
       })`
    )
    t.equal(await owner.line(), 'idle')
    owner.process.kill('SIGKILL')
    await owner.alone
  })

  t.test('kills a group, and lets its guardians be done before the folder goes', async (t) => {
    const member = `${PRELUDE} guardian.startProgram(node, idle, options)`
    const owner = start(
      t,
      `const TMPDIR = guardian.temporaryFolder('guarded')
       console.log(TMPDIR)
       const args = ['--import', 'tsx', '--input-type=module', '--eval', ${JSON.stringify(member)}]
       guardian.startGroup(node, args, { ...options, env: { ...process.env, TMPDIR } })`
    )
    const folder = await owner.line()
    t.equal(await owner.line(), 'idle')
    t.match(readdirSync(folder).join(), 'guardian-')
    owner.process.kill('SIGKILL')
    await owner.alone
    await until(() => !existsSync(folder))
  })
})

t.test('guardian › does the same when a process exits', async (t) => {
  const owner = start(
    t,
    `guardian.startProgram(node, idle, options)
     process.stdin.once('data', () => process.exit())`
  )
  t.equal(await owner.line(), 'idle')
  owner.process.stdin?.write('exit')
  await owner.alone
})

t.test('guardian › lets a process end that has ended what it started', async (t) => {
  const owner = start(
    t,
    `const folder = guardian.temporaryFolder('guarded')
     guardian.startProgram(node, ['--eval', '0'], options).once('exit', () => guardian.removeFolder(folder))`
  )
  const [code] = await once(owner.process, 'exit')
  t.equal(code, 0)
  await owner.alone
})
