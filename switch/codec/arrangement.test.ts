/**
 * Arrangements: the same positions whether a bitmap is seen for the first time or kept, and never
 * more of them than there are slots.
 */
import t from 'tap'
import { loadDialectSpec } from '../../config/dialects.ts'
import { ARRANGEMENT_SLOTS, compileDialect } from './dialect.ts'
import { Fault } from './fault.ts'
import { View } from './view.ts'
import { walk } from './walk.ts'

/** DE3 and DE11 in CUPS form, written by hand. */
const MESSAGE = Buffer.concat([
  Buffer.from('0200', 'latin1'), Buffer.from('2020000000000000', 'hex'),
  Buffer.from('001000123456', 'latin1'),
])

t.test('a bitmap is kept when it is seen twice, and reads the same before and after', (t) => {
  const dialect = compileDialect(loadDialectSpec('cups'))
  const kept = (): number => dialect.arrangements.filter((one) => one !== null).length
  for (const wanted of [0, 1, 1]) {
    const view = new View(dialect)
    t.ok(walk(dialect, MESSAGE, 0, MESSAGE.length, view, new Fault()))
    t.equal(kept(), wanted)
    t.same([...view.fields()], [3, 11])
    t.same([view.valueStart(3), view.valueEnd(3), view.valueStart(11), view.valueEnd(11)],
      [12, 18, 18, 24])
    t.same([view.valueStart(4), view.valueEnd(4), view.count(4)], [-1, -1, 0])
    t.same(view.textsInOrder(), ['001000', '123456'])
  }
  t.end()
})

t.test('a View that reads another message leaves the one beside it as it was', (t) => {
  const dialect = compileDialect(loadDialectSpec('cups'))
  const [first, second] = [new View(dialect), new View(dialect)]
  for (let round = 0; round < 3; round++) {
    walk(dialect, MESSAGE, 0, MESSAGE.length, first, new Fault())
  }
  const other = Buffer.from(MESSAGE)
  other[10] = 0x40 // DE11 is gone, DE50 stands there
  walk(dialect, other, 0, other.length, second, new Fault())
  t.same(first.textsInOrder(), ['001000', '123456'])
  t.end()
})

t.test('any number of bitmaps takes no more than the slots there are', (t) => {
  const dialect = compileDialect(loadDialectSpec('cups'))
  const view = new View(dialect)
  const fault = new Fault()
  for (let number = 0; number < 2000; number++) {
    const frame = Buffer.from(MESSAGE)
    frame.writeUInt32BE(number * 2_000_003, 4)
    frame[4]! &= 0x7f
    for (let times = 0; times < 2; times++) walk(dialect, frame, 0, frame.length, view, fault)
  }
  t.equal(dialect.arrangements.length, ARRANGEMENT_SLOTS)
  t.ok(dialect.arrangements.every((one) => one !== null), 'every slot was used')
  t.end()
})
