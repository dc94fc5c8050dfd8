import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { Agent, type IncomingMessage, request } from 'node:http'
import { join } from 'node:path'
import type { Readable } from 'node:stream'
import { freePort } from '../../../../test/helpers/free-port.ts'
import { startProgram, temporaryFolder } from '../../../../test/helpers/guardian.ts'
import { nginx, tempPaths } from '../../../../test/helpers/programs/nginx.ts'
import { executableOf } from '../../../../test/helpers/programs.ts'
import { NCHAN_MODULE } from '../../process/programs.ts'
import { statOf } from '../../process/stat.ts'
import type { ChannelContestant } from './contestant.ts'

const PUBLISH_PATH = '/publish'

/** One worker of nginx. This process publishes to it by requests over one connection, and what they cost it counts. */
export async function start(): Promise<ChannelContestant> {
  const port = await freePort()
  const dir = temporaryFolder('nchan')
  writeFileSync(join(dir, nginx.example), configuration(dir, port))
  const child = startProgram(executableOf('nginx'), nginx.args(dir), { stdio: ['ignore', 'ignore', 'pipe'] })
  const worker = await workerPid(child.stderr as Readable)
  const agent = new Agent({ keepAlive: true, maxSockets: 1 })
  let publishing: Promise<void>[] = []
  return {
    server: { address: () => ({ address: '127.0.0.1', family: 'IPv4', port }) },
    listen: async () => {},
    async close() {
      child.kill()
      await once(child, 'exit')
    },
    publish(data) {
      publishing.push(post(agent, port, data))
    },
    async written() {
      await Promise.all(publishing)
      publishing = []
    },
    cpuParts() {
      const stat = statOf(worker)
      if (stat === undefined) throw new Error('nginx has ended')
      return stat
    }
  }
}

function configuration(dir: string, port: number): string {
  return `
load_module ${NCHAN_MODULE};
worker_processes 1;
events { worker_connections 65536; }
http {
  access_log off;
  ${tempPaths(dir)}
  server {
    listen 127.0.0.1:${port} backlog=4096;
    nchan_channel_id all;
    location = / {
      nchan_subscriber eventsource;
      nchan_subscriber_first_message newest;
    }
    location = ${PUBLISH_PATH} {
      nchan_publisher;
    }
  }
}
`
}

async function workerPid(stderr: Readable): Promise<number> {
  let output = ''
  for await (const text of stderr.setEncoding('utf8').iterator({ destroyOnReturn: false })) {
    output += text
    const [started] = output.matchAll(nginx.started)
    if (started !== undefined) {
      stderr.resume()
      return Number(started[1])
    }
  }
  throw new Error(`nginx ended:\n${output}`)
}

async function post(agent: Agent, port: number, data: string): Promise<void> {
  const posting = request({ agent, port, host: '127.0.0.1', method: 'POST', path: PUBLISH_PATH }).end(data)
  const [response]: IncomingMessage[] = await once(posting, 'response')
  if (response?.statusCode !== 201) throw new Error(`nginx answered ${response?.statusCode}`)
  await once(response.resume(), 'end')
}
