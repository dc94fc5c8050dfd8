import type { Random } from '../checker/sockets/random.ts'
import type { FaultProxy } from '../helpers/fault-proxy.ts'
import type { Client, Pick } from './client.ts'
import type { Load } from './load.ts'
import type { World } from './world.ts'

export interface Fault {
  readonly name: string
  /** How often it is chosen, in comparison with others. */
  readonly weight: number
  /** Resolves when it is over. */
  run(): Promise<unknown>
}

/** What faults need. */
export interface FaultHost {
  readonly world: World
  readonly random: Random
  readonly load: Load
  /** Resolves after a random time, or when all is to end. */
  rest(minMs: number, maxMs: number): Promise<void>
  pickOf<T>(values: readonly T[]): T
}

/** What happens to Redis, one after another. */
export function redisFaults({ world, random, load, rest, pickOf }: FaultHost): Fault[] {
  const { store } = world
  const someChannel = (): string => pickOf(world.channels)
  const command = (...args: string[]) => store.redis.command(...args)
  const inStep = async (): Promise<void> => store.replica?.catchUp()
  const forget = async (forgetNow: () => Promise<void>): Promise<void> => {
    await inStep()
    await forgetNow()
    await inStep()
  }
  const failOver = async (): Promise<void> => {
    await inStep()
    store.replica?.stall()
    await rest(20, 800)
    await store.failOver()
    await store.startReplica()
  }
  const standStill = async (): Promise<void> => {
    store.redis.pause()
    await rest(200, random.happens(0.2) ? 9_000 : 3_000)
    store.redis.resume()
  }
  const fillUp = async (): Promise<void> => {
    await command('CONFIG', 'SET', 'maxmemory', '1')
    await rest(200, 2_000)
    await command('CONFIG', 'SET', 'maxmemory', '0')
  }
  const restart = (losesDisk: boolean) => store.restart({ losesDisk, meanwhile: () => rest(0, 3_000) })
  return [
    { name: 'redis restarts with its disk', weight: 2, run: () => restart(false) },
    { name: 'redis restarts without its disk', weight: 1, run: () => restart(true) },
    { name: 'failover', weight: 3, run: failOver },
    { name: 'redis stands still', weight: 2, run: standStill },
    { name: 'redis has no memory', weight: 1, run: fillUp },
    { name: 'DEL', weight: 2, run: () => forget(() => store.deleteStream(someChannel())) },
    { name: 'FLUSHALL', weight: 1, run: () => forget(() => store.flushAll()) },
    { name: 'notices are cut', weight: 3, run: () => command('CLIENT', 'KILL', 'TYPE', 'pubsub') },
    { name: 'commands are cut', weight: 2, run: () => command('CLIENT', 'KILL', 'TYPE', 'normal') },
    { name: 'SCRIPT FLUSH', weight: 1, run: () => command('SCRIPT', 'FLUSH') },
    { name: 'XADD', weight: 3, run: () => world.append(someChannel()) },
    { name: 'a burst', weight: 3, run: async () => load.burst(someChannel(), random.magnitude(50, 400)) }
  ]
}

/** What happens to nodes, one after another. */
export function nodeFaults({ world, rest, pickOf }: FaultHost): Fault[] {
  const fault = (name: string, weight: number, run: (index: number) => Promise<unknown>): Fault => ({
    name,
    weight,
    run: async () => {
      const index = pickOf([...world.nodes.keys()])
      if (world.nodes[index] !== undefined) await run(index)
    }
  })
  return [
    fault('a node is killed', 2, async (index) => {
      await world.killNode(index)
      await rest(0, 2_000)
      await world.startNode(index)
    }),
    fault('a node is replaced', 1, async (index) => {
      await world.stopNode(index)
      await world.startNode(index)
    }),
    fault('a node stands still', 2, (index) => world.pauseNode(index, () => rest(100, 2_500)))
  ]
}

/** What happens between one node and Redis, one after another. */
export function lineFaults({ random, rest }: FaultHost, line: FaultProxy, index: number): Fault[] {
  const fault = (name: string, weight: number, begin: () => void, minMs = 300, maxMs = 4_000): Fault => ({
    name: `line ${index} ${name}`,
    weight,
    run: async () => {
      begin()
      await rest(minMs, maxMs)
      heal(line)
    }
  })
  const cutOff = (): void => {
    line.refuse(true)
    line.cutAll()
  }
  const someBytes = (): number => random.magnitude(1, 20_000)
  return [
    fault('is slow', 2, () => line.delay(random.magnitude(5, 300))),
    fault('is thin', 2, () => line.throttle(random.magnitude(5_000, 200_000))),
    fault('swallows everything', 2, () => line.blackhole(true), 200, 8_000),
    fault('refuses', 2, cutOff),
    fault('is cut', 3, () => line.cutAll(), 0, 10),
    fault('is cut in an answer', 3, () => line.cutAfter(someBytes(), 'toClient')),
    fault('is cut in a command', 3, () => line.cutAfter(someBytes(), 'toServer'))
  ]
}

/** What clients do. Others go on meanwhile. */
export function clientFaults(host: FaultHost): Fault[] {
  const { world, rest, pickOf } = host
  const fault = (
    name: string,
    weight: number,
    begin: (client: Client) => void,
    end: (client: Client) => void
  ): Fault => ({
    name,
    weight,
    run: async () => {
      const client = pickOf(world.clients)
      begin(client)
      void rest(100, 4_000).then(() => end(client))
    }
  })
  const goAway = (client: Client): void => client.move(() => undefined)
  const move = (client: Client): void => client.move(somePick(host))
  const hop = (isHopping: boolean) => (client: Client) => {
    client.isHopping = isHopping
  }
  return [
    fault('a client moves', 6, move, () => {}),
    fault('a client is away', 3, goAway, move),
    fault(
      'a client reads nothing',
      3,
      (client) => client.pause(),
      (client) => client.resume()
    ),
    fault('a client hops', 2, hop(true), hop(false)),
    { name: 'a client comes', weight: 0.1, run: async () => addClient(host) }
  ]
}

/** One that reads some of the channels. */
export function addClient(host: FaultHost): void {
  const { world, random, pickOf } = host
  const wanted = world.channels.filter(() => random.happens(0.5))
  world.client(somePick(host), wanted.length === 0 ? [pickOf(world.channels)] : wanted)
}

/** One node for ever, or any. */
function somePick({ world, random, pickOf }: FaultHost): Pick {
  const index = pickOf([...world.nodes.keys()])
  return random.happens(0.5) ? () => world.nodes[index]?.port : world.rotation(index)
}

/** Ends all faults of a line. */
export function heal(line: FaultProxy): void {
  line.delay(0)
  line.throttle(Infinity)
  line.blackhole(false)
  line.refuse(false)
  line.cutAfter(Infinity, 'toClient')
  line.cutAfter(Infinity, 'toServer')
}
