import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { startProgram } from '../guardian.ts'
import { executableOf } from '../programs.ts'

/** A screen that nobody sees, and its name. */
export async function startScreen(): Promise<{ screen: ChildProcess; display: string }> {
  const screen = startProgram(executableOf('xvfb'), ['-displayfd', '1', '-nolisten', 'tcp'], {
    stdio: ['ignore', 'pipe', 'ignore']
  })
  const [number] = await once(screen.stdout as NodeJS.ReadableStream, 'data')
  return { screen, display: `:${String(number).trim()}` }
}
