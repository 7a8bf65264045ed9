// The demonstration's cards: synthetic, Luhn-valid, and what the seed is given of them.
import t from 'tap'

import { visaPvv } from '../hsm/algorithms/pin-verification.ts'
import { tdesCipher } from '../hsm/algorithms/software-ciphers.ts'
import {
  CARDS,
  cardNamed,
  demonstrationCards,
  passesLuhn,
  pinOf,
  track2Of,
  wrongPinOf,
} from './cards.ts'
import { keyOfLabel, tokenOfLabels } from './test-by-hand.ts'

void t.test('every PAN passes the Luhn check and every name and PAN is there once', (test) => {
  for (const card of CARDS) test.ok(passesLuhn(card.pan), card.name)
  test.equal(new Set(CARDS.map((card) => card.pan)).size, CARDS.length)
  test.equal(new Set(CARDS.map((card) => card.name)).size, CARDS.length)
  test.notOk(passesLuhn('6223001000001377'), 'one more in the check digit')
  test.notOk(passesLuhn('6223001000001736'), 'two digits exchanged')
  test.end()
})

void t.test('BIN ranges say who issues a card', (test) => {
  for (const { name, issuer, pan } of CARDS) {
    const range = pan.startsWith('622300')
      ? 'own'
      : pan.startsWith('62')
        ? 'cups'
        : pan.startsWith('4')
          ? 'visa'
          : 'nobody'
    test.equal(issuer, range, name)
  }
  test.ok(CARDS.filter((card) => card.issuer === 'own').length >= 6)
  test.end()
})

void t.test('the seed gets PVVs under demo.issuer.pvk and no PIN', (test) => {
  const cards = demonstrationCards(tokenOfLabels())
  const pvk = tdesCipher(keyOfLabel('demo.issuer.pvk'))
  for (const card of cards) {
    const pin = pinOf(cardNamed(card.name))
    test.equal(card.pvv, visaPvv(pvk, card.pan, '1', pin).join(''), card.name)
    test.notMatch(
      JSON.stringify({ ...card, openingBalanceMinor: 0, dailyLimitMinor: 0 }),
      pin.join(''),
    )
  }
  test.end()
})

void t.test('the wrong PIN differs in every digit and has the same length', (test) => {
  for (const card of CARDS) {
    const right = pinOf(card)
    const wrong = wrongPinOf(card)
    test.equal(wrong.length, right.length)
    test.ok(
      wrong.every((digit, at) => digit <= 9 && digit !== right[at]),
      card.name,
    )
  }
  test.end()
})

void t.test('track 2 holds PAN, expiry and service code and is never too long', (test) => {
  test.equal(track2Of(cardNamed('own-1'), '='), '6223001000001376=311220100000000')
  test.equal(track2Of(cardNamed('visa-1'), 'D'), '4000001000002113D311210100000000')
  for (const card of CARDS) test.ok(track2Of(card, '=').length <= 37, card.name)
  test.end()
})
