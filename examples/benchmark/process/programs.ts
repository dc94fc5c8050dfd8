import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { findProgram } from '../../../test/helpers/programs.ts'

export const BUN = process.env.BUN ?? 'bun'
/** Where Debian's package has it. */
export const NCHAN_MODULE = '/usr/lib/nginx/modules/ngx_nchan_module.so'

export function hasBun(): boolean {
  return spawnSync(BUN, ['--version']).status === 0
}

export function hasNchan(): boolean {
  return findProgram('nginx') !== undefined && existsSync(NCHAN_MODULE)
}
