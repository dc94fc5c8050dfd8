import { join } from 'node:path'
import type { ProxyProgram } from '../reverse-proxy.ts'

export const haproxy: ProxyProgram = {
  name: 'haproxy',
  example: 'haproxy.cfg',
  args: (dir) => ['-W', '-db', '-f', join(dir, 'haproxy.cfg')],
  edits: (dir, { plain, tls }, upstream) => ({
    'bind :80\n': `bind 127.0.0.1:${plain}\n`,
    'bind :443 ': `bind 127.0.0.1:${tls} `,
    '/etc/haproxy/app.pem': join(dir, 'both.pem'),
    '127.0.0.1:3000': `127.0.0.1:${upstream}`
  }),
  ready: 'Loading success',
  started: /New worker \((\d+)\) forked/g,
  exited: /worker \((\d+)\) exited/g,
  reload: 'SIGUSR2'
}
