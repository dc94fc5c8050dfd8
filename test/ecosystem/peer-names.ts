/** Whom the plugin matrix and the guide to moving compare with ours, in order. What measures them is with the benchmarks. */
export const PEER_NAMES = ['@fastify/sse', 'fastify-sse-v2', 'better-sse'] as const
