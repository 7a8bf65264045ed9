// Dictionary of EMV, PBOC and UnionPay tags that DE55, records and scripts carry: name, coding,
// length, source, and how a log may show the value. Pure data. Called by message decoding and
// explanation, the DOL builder and the simulators. It decides nothing about a message: an unknown
// tag passes through unchanged. Sources: EMV Book 3 annex A; PBOC 3.0 part 5; UnionPay chip specs.

/** Coding of a value: binary, BCD padded left with 0, BCD padded right with F, text. */
export type TagCoding = 'b' | 'n' | 'cn' | 'an' | 'ans'

/** Where a value comes from. */
export type TagSource = 'terminal' | 'card' | 'issuer' | 'acquirer'

/**
 * How a log may show a value. `pan` masked, `track` and `person` never, `drop` never (cryptograms,
 * signatures, keys in certificates are public but long), `open` as it is.
 */
export type TagSecrecy = 'open' | 'pan' | 'track' | 'person' | 'drop'

/** One data object. */
export interface TagEntry {
  readonly tag: number
  readonly name: string
  readonly coding: TagCoding
  /** Shortest and longest value in bytes. */
  readonly bytes: readonly [min: number, max: number]
  readonly source: TagSource
  readonly secrecy: TagSecrecy
}

type Row = readonly [
  tag: number,
  name: string,
  coding: TagCoding,
  min: number,
  max: number,
  source: TagSource,
  secrecy?: TagSecrecy,
]

const ROWS: readonly Row[] = [
  [0x4f, 'application_identifier_card', 'b', 5, 16, 'card'],
  [0x50, 'application_label', 'ans', 1, 16, 'card'],
  [0x57, 'track2_equivalent_data', 'b', 0, 19, 'card', 'track'],
  [0x5a, 'pan', 'cn', 0, 10, 'card', 'pan'],
  [0x71, 'issuer_script_template_1', 'b', 0, 255, 'issuer', 'drop'],
  [0x72, 'issuer_script_template_2', 'b', 0, 255, 'issuer', 'drop'],
  [0x82, 'application_interchange_profile', 'b', 2, 2, 'card'],
  [0x84, 'dedicated_file_name', 'b', 5, 16, 'card'],
  [0x86, 'issuer_script_command', 'b', 0, 261, 'issuer', 'drop'],
  [0x89, 'authorisation_code', 'an', 6, 6, 'issuer'],
  [0x8a, 'authorisation_response_code', 'an', 2, 2, 'issuer'],
  [0x8c, 'cdol1', 'b', 0, 252, 'card'],
  [0x8d, 'cdol2', 'b', 0, 252, 'card'],
  [0x8e, 'cvm_list', 'b', 0, 252, 'card'],
  [0x8f, 'authority_key_index_card', 'b', 1, 1, 'card'],
  [0x90, 'issuer_key_certificate', 'b', 0, 248, 'card', 'drop'],
  [0x91, 'issuer_authentication_data', 'b', 8, 16, 'issuer', 'drop'],
  [0x92, 'issuer_key_remainder', 'b', 0, 248, 'card', 'drop'],
  [0x93, 'signed_static_application_data', 'b', 0, 248, 'card', 'drop'],
  [0x94, 'application_file_locator', 'b', 0, 252, 'card'],
  [0x95, 'terminal_verification_results', 'b', 5, 5, 'terminal'],
  [0x97, 'tdol', 'b', 0, 252, 'card'],
  [0x98, 'transaction_certificate_hash', 'b', 20, 20, 'terminal', 'drop'],
  [0x9a, 'transaction_date', 'n', 3, 3, 'terminal'],
  [0x9b, 'transaction_status_information', 'b', 2, 2, 'terminal'],
  [0x9c, 'transaction_type', 'n', 1, 1, 'terminal'],
  [0x5f20, 'cardholder_name', 'ans', 0, 26, 'card', 'person'],
  [0x5f24, 'expiry_date', 'n', 3, 3, 'card'],
  [0x5f25, 'effective_date', 'n', 3, 3, 'card'],
  [0x5f28, 'issuer_country', 'n', 2, 2, 'card'],
  [0x5f2a, 'transaction_currency', 'n', 2, 2, 'terminal'],
  [0x5f30, 'service_code', 'n', 2, 2, 'card', 'track'],
  [0x5f34, 'pan_sequence_number', 'n', 1, 1, 'card'],
  [0x9f01, 'acquirer_identifier', 'n', 6, 6, 'terminal'],
  [0x9f02, 'amount_authorised', 'n', 6, 6, 'terminal'],
  [0x9f03, 'amount_other', 'n', 6, 6, 'terminal'],
  [0x9f06, 'application_identifier_terminal', 'b', 5, 16, 'terminal'],
  [0x9f07, 'application_usage_control', 'b', 2, 2, 'card'],
  [0x9f08, 'application_version_card', 'b', 2, 2, 'card'],
  [0x9f09, 'application_version_terminal', 'b', 2, 2, 'terminal'],
  [0x9f0b, 'cardholder_name_extended', 'ans', 27, 45, 'card', 'person'],
  [0x9f0d, 'issuer_action_code_default', 'b', 5, 5, 'card'],
  [0x9f0e, 'issuer_action_code_denial', 'b', 5, 5, 'card'],
  [0x9f0f, 'issuer_action_code_online', 'b', 5, 5, 'card'],
  [0x9f10, 'issuer_application_data', 'b', 0, 32, 'card'],
  [0x9f13, 'last_online_atc', 'b', 2, 2, 'card'],
  [0x9f15, 'merchant_category_code', 'n', 2, 2, 'terminal'],
  [0x9f16, 'merchant_identifier', 'ans', 15, 15, 'terminal'],
  [0x9f17, 'pin_try_counter', 'b', 1, 1, 'card'],
  [0x9f18, 'issuer_script_identifier', 'b', 4, 4, 'issuer'],
  [0x9f1a, 'terminal_country', 'n', 2, 2, 'terminal'],
  [0x9f1b, 'terminal_floor_limit', 'b', 4, 4, 'terminal'],
  [0x9f1c, 'terminal_identifier', 'an', 8, 8, 'terminal'],
  [0x9f1e, 'interface_device_serial', 'an', 8, 8, 'terminal'],
  [0x9f21, 'transaction_time', 'n', 3, 3, 'terminal'],
  [0x9f22, 'authority_key_index_terminal', 'b', 1, 1, 'terminal'],
  [0x9f24, 'payment_account_reference', 'an', 29, 29, 'card', 'person'],
  [0x9f26, 'application_cryptogram', 'b', 8, 8, 'card', 'drop'],
  [0x9f27, 'cryptogram_information_data', 'b', 1, 1, 'card'],
  [0x9f32, 'issuer_key_exponent', 'b', 1, 3, 'card'],
  [0x9f33, 'terminal_capabilities', 'b', 3, 3, 'terminal'],
  [0x9f34, 'cvm_results', 'b', 3, 3, 'terminal'],
  [0x9f35, 'terminal_type', 'n', 1, 1, 'terminal'],
  [0x9f36, 'application_transaction_counter', 'b', 2, 2, 'card'],
  [0x9f37, 'unpredictable_number', 'b', 4, 4, 'terminal'],
  [0x9f38, 'pdol', 'b', 0, 252, 'card'],
  [0x9f39, 'pos_entry_mode', 'n', 1, 1, 'terminal'],
  [0x9f40, 'additional_terminal_capabilities', 'b', 5, 5, 'terminal'],
  [0x9f41, 'transaction_sequence_counter', 'n', 2, 4, 'terminal'],
  [0x9f42, 'application_currency', 'n', 2, 2, 'card'],
  [0x9f44, 'application_currency_exponent', 'n', 1, 1, 'card'],
  [0x9f45, 'data_authentication_code', 'b', 2, 2, 'card'],
  [0x9f46, 'card_key_certificate', 'b', 0, 248, 'card', 'drop'],
  [0x9f47, 'card_key_exponent', 'b', 1, 3, 'card'],
  [0x9f48, 'card_key_remainder', 'b', 0, 248, 'card', 'drop'],
  [0x9f49, 'ddol', 'b', 0, 252, 'card'],
  [0x9f4a, 'sda_tag_list', 'b', 0, 252, 'card'],
  [0x9f4b, 'signed_dynamic_application_data', 'b', 0, 248, 'card', 'drop'],
  [0x9f4c, 'icc_dynamic_number', 'b', 2, 8, 'card', 'drop'],
  [0x9f4d, 'log_entry', 'b', 2, 2, 'card'],
  [0x9f4f, 'log_format', 'b', 0, 252, 'card'],
  [0x9f51, 'application_currency_pboc', 'n', 2, 2, 'card'],
  [0x9f52, 'application_default_action', 'b', 2, 6, 'card'],
  [0x9f53, 'consecutive_transaction_limit', 'b', 1, 1, 'card'],
  [0x9f54, 'cumulative_amount_limit', 'n', 6, 6, 'card'],
  [0x9f56, 'issuer_authentication_indicator', 'b', 1, 1, 'card'],
  [0x9f58, 'lower_consecutive_offline_limit', 'b', 1, 1, 'card'],
  [0x9f59, 'upper_consecutive_offline_limit', 'b', 1, 1, 'card'],
  [0x9f5b, 'issuer_script_results', 'b', 0, 255, 'terminal'],
  [0x9f5c, 'cumulative_amount_upper_limit', 'n', 6, 6, 'card'],
  [0x9f5d, 'available_offline_amount', 'n', 6, 6, 'card'],
  // PBOC meaning; Mastercard uses 9F61 to 9F67 for CVC3 data.
  [0x9f61, 'cardholder_document_number', 'an', 0, 40, 'card', 'person'],
  [0x9f62, 'cardholder_document_type', 'cn', 1, 1, 'card', 'person'],
  [0x9f63, 'product_identification', 'b', 16, 16, 'card'],
  [0x9f66, 'terminal_transaction_qualifiers', 'b', 4, 4, 'terminal'],
  [0x9f68, 'card_additional_processes', 'b', 4, 4, 'card'],
  [0x9f6b, 'card_cvm_limit', 'n', 6, 6, 'card'],
  [0x9f6c, 'card_transaction_qualifiers', 'b', 2, 2, 'card'],
  [0x9f6d, 'electronic_cash_reset_threshold', 'n', 6, 6, 'card'],
  [0x9f6e, 'form_factor_or_third_party_data', 'b', 4, 32, 'card'],
  [0x9f74, 'electronic_cash_authorisation_code', 'an', 6, 6, 'card'],
  [0x9f77, 'electronic_cash_balance_limit', 'n', 6, 6, 'card'],
  [0x9f78, 'electronic_cash_transaction_limit', 'n', 6, 6, 'card'],
  [0x9f79, 'electronic_cash_balance', 'n', 6, 6, 'card'],
  [0x9f7a, 'electronic_cash_terminal_support', 'b', 1, 1, 'terminal'],
  [0x9f7b, 'electronic_cash_terminal_limit', 'n', 6, 6, 'terminal'],
  [0xdf31, 'unionpay_script_results', 'b', 0, 255, 'terminal'],
  [0xdf32, 'unionpay_chip_serial', 'b', 0, 255, 'terminal'],
  [0xdf33, 'unionpay_session_key_data', 'b', 0, 255, 'terminal', 'drop'],
  [0xdf34, 'unionpay_reader_time', 'b', 0, 255, 'terminal'],
  [0xdf4d, 'load_log_entry', 'b', 2, 2, 'card'],
  [0xdf4f, 'load_log_format', 'b', 0, 252, 'card'],
  [0xdf69, 'sm_algorithm_support', 'b', 1, 1, 'terminal'],
  [0xdf71, 'second_currency', 'n', 2, 2, 'card'],
  [0xdf77, 'second_currency_balance_limit', 'n', 6, 6, 'card'],
  [0xdf78, 'second_currency_transaction_limit', 'n', 6, 6, 'card'],
  [0xdf79, 'second_currency_balance', 'n', 6, 6, 'card'],
]

/** All entries in the order of the table. */
export const TAGS: readonly TagEntry[] = ROWS.map(
  ([tag, name, coding, min, max, source, secrecy]) => ({
    tag,
    name,
    coding,
    bytes: [min, max],
    source,
    secrecy: secrecy ?? 'open',
  }),
)

const BY_TAG: ReadonlyMap<number, TagEntry> = new Map(TAGS.map((entry) => [entry.tag, entry]))

/** Entry of a tag given as a number (0x9f02), or undefined for an unknown one. */
export function tagEntry(tag: number): TagEntry | undefined {
  return BY_TAG.get(tag)
}

/**
 * How a log may show a value of this tag. An unknown tag is dropped: masking fails closed.
 */
export function tagSecrecy(tag: number): TagSecrecy {
  return BY_TAG.get(tag)?.secrecy ?? 'drop'
}

/** Tag as upper-case hexadecimal text, as messages and documents write it. */
export function tagText(tag: number): string {
  const text = tag.toString(16).toUpperCase()
  return text.length % 2 === 0 ? text : `0${text}`
}
