export { RedisServer } from './programs/redis-server.ts'
