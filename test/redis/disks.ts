import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { removeFolder, temporaryFolder } from '../helpers/guardian.ts'

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
  static start(run: Run): Disks {
    const folder = temporaryFolder('redis-disks')
    run.teardown(() => removeFolder(folder))
    return new Disks(folder)
  }

  /** The arguments of a server that is to have an empty disk. */
  async argsOfNext(): Promise<string[]> {
    const disk = join(this.#folder, String(this.#count++))
    await mkdir(disk)
    return ['--appendonly', 'yes', '--appendfsync', 'everysec', '--dir', disk]
  }
}
