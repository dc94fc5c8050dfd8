/**
 * `guardian.ts` is the other end of its standard input, which ends with the process that holds it, however that one ends. Then
 * this one kills what is left of what was started, removes the folders, and ends. In plain JavaScript, so that it starts fast.
 */
import { execFileSync, spawnSync } from 'node:child_process'
import { readdirSync, readFileSync, rmSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { setTimeout } from 'node:timers/promises'

const CHECK_MS = 10
const isWindows = process.platform === 'win32'
const groups = new Set()
const programs = new Set()
const folders = new Set()

const heed = {
  group: (pid) => groups.add(Number(pid)),
  program: (pid) => programs.add(Number(pid)),
  folder: (path) => folders.add(path),
  ended(pid) {
    groups.delete(Number(pid))
    programs.delete(Number(pid))
  },
  /** The first of a group has ended, and others have not. */
  left(pid) {
    programs.delete(Number(pid))
    groups.add(Number(pid))
  },
  removed: (path) => folders.delete(path)
}

for await (const line of createInterface({ input: process.stdin })) {
  const space = line.indexOf(' ')
  heed[line.slice(0, space)](line.slice(space + 1))
}
if (isWindows) {
  for (const pid of [...groups, ...programs]) spawnSync('taskkill', ['/F', '/T', '/PID', String(pid)])
} else {
  for (const pid of stoppedTrees()) sendToGroup(pid, 'SIGKILL') || send(pid, 'SIGKILL')
  for (const pid of groups) sendToGroup(pid, 'SIGKILL')
}
for (const path of folders) await othersAreDone(path)
for (const path of folders) rmSync(path, { recursive: true, force: true, maxRetries: 20 })

/** Resolves when no guardian, of which each has a mark, has anything more to kill that writes to the folder. */
async function othersAreDone(path) {
  while (marksIn(path).some((pid) => send(pid, 0))) await setTimeout(CHECK_MS)
}

function marksIn(path) {
  try {
    const names = readdirSync(path).filter((name) => name.startsWith('guardian-'))
    return names.map((name) => Number(name.slice('guardian-'.length)))
  } catch {
    return []
  }
}

/** The programs and all that came from them, also in groups of their own. They are stopped, so that no more come. */
function stoppedTrees() {
  const trees = new Set(programs)
  let known = -1
  while (known < trees.size) {
    known = trees.size
    for (const pid of trees) sendToGroup(pid, 'SIGSTOP') || send(pid, 'SIGSTOP')
    for (const { pid, parent } of processes()) if (trees.has(parent)) trees.add(pid)
  }
  return trees
}

function processes() {
  if (process.platform === 'linux') return readdirSync('/proc').filter(isNumber).flatMap(statOf)
  const lines = execFileSync('ps', ['-A', '-o', 'pid=,ppid='], { encoding: 'utf8' }).trim().split('\n')
  return lines.map((line) => {
    const [pid, parent] = line.trim().split(/\s+/).map(Number)
    return { pid, parent }
  })
}

function statOf(name) {
  try {
    const stat = readFileSync(`/proc/${name}/stat`, 'utf8')
    const [, parent] = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
    return [{ pid: Number(name), parent: Number(parent) }]
  } catch {
    return []
  }
}

function isNumber(name) {
  return /^\d+$/.test(name)
}

/** To all of a group, if the process leads one. */
function sendToGroup(pid, signal) {
  return send(-pid, signal)
}

function send(pid, signal) {
  try {
    return process.kill(pid, signal)
  } catch {
    return false
  }
}
