import t from 'tap'
import { guide } from '../helpers/manual.ts'
import { ours } from './ours.ts'
import { PEER_NAMES } from './peer-names.ts'
import { headOf, lineOf, MARKS, runRow } from './row.ts'
import { ROWS } from './rows.ts'
import { ORDERS } from './stage.ts'

for (const row of ROWS) {
  t.test(`with ${row.name} › a stream ${row.shows}`, async (t) => {
    for (const order of ORDERS) await t.resolves(runRow(row, ours, order), order)
  })
}

t.test('manual › the plugin matrix has a line for each of these, and all of them are ours', async (t) => {
  const [, matrix = ''] =
    /<!-- plugin matrix -->\n+([\s\S]*?)\n+<!-- \/plugin matrix -->/.exec(guide('plugins')) ?? []
  const lines = matrix.split('\n')
  const expected = ROWS.map((row, i) => lineOf(row, [MARKS.shown, ...marksOfPeers(lines[i + 2])]))
  t.same(lines, [...headOf([ours.name, ...PEER_NAMES]), ...expected])
})

/** What the line says of the peers, as far as it says something. */
function marksOfPeers(line = ''): string[] {
  const marks: readonly string[] = Object.values(MARKS)
  const cells = line.split('|').map((cell) => cell.trim())
  return cells.slice(-PEER_NAMES.length - 1, -1).filter((cell) => marks.includes(cell))
}
