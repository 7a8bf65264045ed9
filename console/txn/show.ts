// What `switchyard txn show` does. Called by console/commands/txn.ts.
import { CommandFailed, WrongUsage } from '../help.ts'
import { withJournal } from './open-journal.ts'
import { maskedHistory, renderHistory } from './timeline.ts'

/**
 * Prints the timeline of every transaction with this RRN.
 *
 * @throws WrongUsage for text that is no RRN, CommandFailed when no transaction has it
 */
export async function showTransaction(rrn: string, json: boolean): Promise<void> {
  // DE37 is an 12; what is asked for may come from a receipt with fewer characters.
  if (!/^[0-9A-Za-z ]{1,12}$/.test(rrn)) {
    throw new WrongUsage('an RRN has up to 12 letters or digits')
  }
  const histories = await withJournal((journal) => journal.history(rrn))
  if (histories.length === 0) {
    throw new CommandFailed(`no transaction has RRN ${rrn}`, 'the RRN is field 37 of the answer')
  }
  const text = json
    ? `${JSON.stringify(histories.map(maskedHistory), null, 2)}\n`
    : renderHistory(histories)
  process.stdout.write(text)
}
