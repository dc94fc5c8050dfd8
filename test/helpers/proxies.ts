import { haproxy } from './programs/haproxy.ts'
import { nginx } from './programs/nginx.ts'
import { type ProxyOptions, ReverseProxy as StartedProxy, type Test } from './reverse-proxy.ts'

const PROXIES = { nginx, haproxy }

export type ProxyName = keyof typeof PROXIES
export type ReverseProxy = StartedProxy

export const ReverseProxy = {
  start: (t: Test, name: ProxyName, options: ProxyOptions): Promise<StartedProxy> =>
    StartedProxy.start(t, PROXIES[name], options)
}
