import type { FastifyInstance, FastifyRequest } from 'fastify'

/** What is used of Fastify's `LogController`, which it hands to nobody; older versions have none. */
interface LogController {
  isLogDisabled(request: FastifyRequest): boolean
}

const LOG_CONTROLLER = 'fastify.logController'

/** Whether the server's own log tells of a request: not if its `disableRequestLogging` or `logController` says so. */
export function requestLogging(app: FastifyInstance): (request: FastifyRequest) => boolean {
  const controller = logControllerOf(app)
  if (controller !== undefined) return (request) => !controller.isLogDisabled(request)
  const { disableRequestLogging } = app.initialConfig
  return typeof disableRequestLogging === 'function'
    ? (request) => !disableRequestLogging(request)
    : () => disableRequestLogging !== true
}

function logControllerOf(app: FastifyInstance): LogController | undefined {
  for (let scope: object | null = app; scope !== null; scope = Object.getPrototypeOf(scope)) {
    const key = Object.getOwnPropertySymbols(scope).find(({ description }) => description === LOG_CONTROLLER)
    if (key !== undefined) return Reflect.get(scope, key)
  }
  return undefined
}
