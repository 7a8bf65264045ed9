// What the memory of key blocks promises: one read per name, a bound, and no stale block.

import t from 'tap'

import { KeyCache } from './key-directory.ts'

/** A store that counts its reads and answers when told to. */
class SlowStore {
  readonly blocks = new Map<string, string>()
  readonly reads: string[] = []
  readonly #waiting: Array<() => void> = []

  keyBlock(name: string): Promise<string | null> {
    this.reads.push(name)
    const found = this.blocks.get(name) ?? null
    return new Promise((resolve) => this.#waiting.push(() => resolve(found)))
  }

  answerAll(): void {
    for (const answer of this.#waiting.splice(0)) answer()
  }
}

t.test('a name is read once, however many ask at the same time', async (t) => {
  const store = new SlowStore()
  store.blocks.set('a', 'BLOCK A')
  const cache = new KeyCache(store)
  const asked = [cache.find('a'), cache.find('a'), cache.find('a')]
  store.answerAll()
  t.same(await Promise.all(asked), ['BLOCK A', 'BLOCK A', 'BLOCK A'])
  t.equal(await cache.find('a'), 'BLOCK A')
  t.same(store.reads, ['a'])
})

t.test('a name without a block is remembered too: it is a key of the token', async (t) => {
  const store = new SlowStore()
  const cache = new KeyCache(store)
  const asked = cache.find('master')
  store.answerAll()
  t.equal(await asked, null)
  t.equal(await cache.find('master'), null)
  t.same(store.reads, ['master'])
})

t.test('a block that is put while the store is read wins over what was read', async (t) => {
  const store = new SlowStore()
  store.blocks.set('a', 'OLD')
  const cache = new KeyCache(store)
  const asked = cache.find('a')
  cache.put('a', 'NEW')
  store.answerAll()
  t.equal(await asked, 'NEW')
  t.equal(await cache.find('a'), 'NEW')
})

t.test('a forgotten name is read again, and a read begun before does not count', async (t) => {
  const store = new SlowStore()
  store.blocks.set('a', 'OLD')
  const cache = new KeyCache(store)
  const before = cache.find('a')
  cache.forget('a')
  store.blocks.set('a', 'NEW')
  const after = cache.find('a')
  store.answerAll()
  t.equal(await before, 'OLD', 'who asked before sees what was in force then')
  t.equal(await after, 'NEW')
  t.equal(await cache.find('a'), 'NEW')
  t.same(store.reads, ['a', 'a'])
})

t.test('the name used longest ago is forgotten at the bound', async (t) => {
  const store = new SlowStore()
  const cache = new KeyCache(store, 2)
  cache.put('a', 'A')
  cache.put('b', 'B')
  await cache.find('a')
  cache.put('c', 'C')
  t.equal(await cache.find('a'), 'A')
  t.equal(await cache.find('c'), 'C')
  const asked = cache.find('b')
  store.answerAll()
  t.equal(await asked, null)
  t.same(store.reads, ['b'])
})

t.test('a store that fails is asked again next time', async (t) => {
  let fails = true
  const store = {
    keyBlock: () => (fails ? Promise.reject(new Error('down')) : Promise.resolve('A')),
  }
  const cache = new KeyCache(store)
  await t.rejects(cache.find('a'), /down/)
  fails = false
  t.equal(await cache.find('a'), 'A')
})
