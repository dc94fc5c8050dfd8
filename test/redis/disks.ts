import { mkdir, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

interface Run {
  teardown(fn: () => unknown): void
}

/** Where the Redis servers of a run keep what they have, so that it is there again when they come back. */
export class Disks {
  readonly #folder: string
  #count = 0

  private constructor(folder: string) {
    this.#folder = folder
  }

  /** All is gone when the run ends. */
  static async start(run: Run): Promise<Disks> {
    const folder = await mkdtemp(join(tmpdir(), 'redis-disks-'))
    run.teardown(() => rm(folder, { recursive: true, force: true, maxRetries: 3 }))
    return new Disks(folder)
  }

  /** The arguments of a server that is to have an empty disk. */
  async argsOfNext(): Promise<string[]> {
    const disk = join(this.#folder, String(this.#count++))
    await mkdir(disk)
    return ['--appendonly', 'yes', '--appendfsync', 'everysec', '--dir', disk]
  }
}
