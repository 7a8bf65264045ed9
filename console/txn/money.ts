// Amounts as people read them. Used by the operators' commands; integers of minor units come in.

/** ISO 4217: code by number, and decimals where they are not two. */
const CURRENCIES: Readonly<Record<string, readonly [code: string, decimals: number]>> = {
  '036': ['AUD', 2],
  '048': ['BHD', 3],
  '124': ['CAD', 2],
  '152': ['CLP', 0],
  '156': ['CNY', 2],
  '344': ['HKD', 2],
  '356': ['INR', 2],
  '360': ['IDR', 2],
  '392': ['JPY', 0],
  '400': ['JOD', 3],
  '410': ['KRW', 0],
  '414': ['KWD', 3],
  '446': ['MOP', 2],
  '458': ['MYR', 2],
  '512': ['OMR', 3],
  '643': ['RUB', 2],
  '702': ['SGD', 2],
  '704': ['VND', 0],
  '756': ['CHF', 2],
  '764': ['THB', 2],
  '788': ['TND', 3],
  '826': ['GBP', 2],
  '840': ['USD', 2],
  '901': ['TWD', 2],
  '950': ['XAF', 0],
  '952': ['XOF', 0],
  '978': ['EUR', 2],
}

/**
 * `1,234.50 CNY`; a currency that is not in the table is shown in minor units and says so.
 *
 * @param minor integer of minor units
 * @param currency ISO 4217 number, three digits
 */
export function money(minor: number, currency: string): string {
  const known = CURRENCIES[currency]
  if (known === undefined) return `${minor} minor units of ${currency}`
  const [code, decimals] = known
  const digits = String(Math.abs(minor)).padStart(decimals + 1, '0')
  const whole = digits.slice(0, digits.length - decimals).replace(/\B(?=(\d{3})+$)/g, ',')
  const fraction = decimals === 0 ? '' : `.${digits.slice(-decimals)}`
  return `${minor < 0 ? '-' : ''}${whole}${fraction} ${code}`
}
