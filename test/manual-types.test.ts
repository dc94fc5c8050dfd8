import t from 'tap'
import { pairs, programs } from './helpers/manual.ts'
import { SCOPE, typeProblems } from './helpers/type-check.ts'

/** Two of the libraries add a `reply.sse`, and not the same one: their programs are projects of their own. */
const ADDING_TO_FASTIFY = ['@fastify/sse', 'fastify-sse-v2']

const { quickStart, examples } = programs()
const ofExamples = examples.map((code) => `${SCOPE}declare const upstreamUrl: string\n${code}`)
const ofPairs = pairs().map(({ name, theirs, ours }) => ({ name, programs: [SCOPE + theirs, SCOPE + ours] }))
const isOnItsOwn = ({ name }: { name: string }): boolean => ADDING_TO_FASTIFY.includes(name)

t.test('manual › its examples pass the type check, also those that show how to move', async (t) => {
  const others = ofPairs.filter((pair) => !isOnItsOwn(pair)).flatMap(({ programs }) => programs)
  t.equal(others.length, 2)
  t.same(typeProblems([quickStart, ...ofExamples, ...others]), [])
  for (const { name, programs } of ofPairs.filter(isOnItsOwn)) t.same(typeProblems(programs), [], name)
})
