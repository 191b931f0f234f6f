/** Name of a counter. */
export type CounterName =
  | 'requests_total'
  | 'request_errors_total'
  | 'requests_refused_total'
  | 'clients_gone_total'
  | 'fills_total'
  | 'fills_joined_total'
  | 'fills_failed_total'
  | 'fills_abandoned_total'
  | 'fetches_total'
  | 'fetch_errors_total'
  | 'fetch_retries_total'
  | 'fetch_queue_refused_total'
  | 'revalidations_total'
  | 'stale_served_total'
  | 'loops_total'
  | 'stashed_total'
  | 'stash_failed_total'
  | 'stash_refused_total'
  | 'spool_full_total'
  | 'corrupt_blobs_total'
  | 'corrupt_rows_total'
  | 'missing_blobs_total'
  | 'tier_failed_total'
  | 'tier_copied_total'
  | 'tier_not_copied_total'
  | 'peers_down_total'
  | 'owner_asked_total'
  | 'peer_mismatch_total'
  | 'pinned_mismatch_total'
  | 'put_aside_total'
  | 'sumdb_mismatch_total'
  | 'validator_verdicts_total'
  | 'denied_total'
  | 'halt_acquired_total'
  | 'halt_timeouts_total'
  | 'halt_gate_total'
  | 'halt_slow_total'
  | 'halt_lost_total'
  | 'halt_stuck_total'
  | 'halt_helper_lost_total'
  | 'litefs_wedged_total'
  | 'commits_total'
  | 'commit_retries_total'
  | 'changes_dropped_total'
  | 'purges_total'
  | 'tags_dropped_total'
  | 'recovered_total'
  | 'store_failures_total'
  | 'evicted_total'
  | 'quota_refused_total'
  | 'scrubbed_total'
  | 'populated_total'
  | 'config_reloads_total'
  | 'repaired_total'
  | 'peer_refused_total'
  | 'shipped_total'
  | 'primary_failures_total'
  | 'journal_rows_total'
  | 'snapshots_total'
  | 'hints_total'
  | 'leases_total'
  | 'peer_unreadable_total';

/**
 * Every counter that caje keeps and what one step of it means. A fault or a refusal that has no counter
 * here cannot be counted: a new one starts with a line in this table (reliability P12).
 */
export const COUNTERS: Readonly<Record<CounterName, string>> = {
  requests_total: 'requests answered, by cache result',
  request_errors_total: 'own error answers, by kind',
  requests_refused_total: 'requests refused before a rule was asked, by reason',
  clients_gone_total: 'clients that left before their answer was whole',
  fills_total: 'fills begun, by source',
  fills_joined_total: 'requests that shared a running fill',
  fills_failed_total: 'fills that ended without a whole body, by kind',
  fills_abandoned_total: 'fills given up because their last client left',
  fetches_total: 'requests sent upstream, by fetcher',
  fetch_errors_total: 'upstream requests that failed, by fetcher and kind',
  fetch_retries_total: 'upstream requests tried again',
  fetch_queue_refused_total: 'fetches refused because the queue was full or the wait too long',
  revalidations_total: 'conditional requests sent upstream, by outcome',
  stale_served_total: 'stale answers, by reason',
  loops_total: 'requests refused with 508',
  stashed_total: 'bodies kept',
  stash_failed_total: 'bodies served but not kept, by kind',
  stash_refused_total: 'commits refused because a purge came in between',
  spool_full_total: 'fills that gave up storing because the spool was full',
  corrupt_blobs_total: 'stored bodies found to differ from their digest',
  corrupt_rows_total: 'manifest rows that failed their checksum',
  missing_blobs_total: 'manifest rows whose body was not there',
  store_failures_total: 'calls that an S3 store refused or did not answer, by reason',
  tier_failed_total: 'calls that one store of a tiered one failed, by tier',
  tier_copied_total: 'bodies copied from one store of a tiered one to the other, by tier',
  tier_not_copied_total: 'bodies that one store of a tiered one did not get, by tier',
  peers_down_total: 'nodes of the cluster found to be of no use, by reason',
  owner_asked_total: 'misses sent to the node that owns their key, by what came of it',
  peer_mismatch_total: 'peer bodies that differed from the digest sent along',
  pinned_mismatch_total: 'immutable resources that the upstream changed',
  put_aside_total: 'bodies passed on and not kept because their clients would refuse them',
  sumdb_mismatch_total: 'bodies refused because a checksum database names another hash',
  validator_verdicts_total: 'answers of validators, by verdict',
  denied_total: 'requests refused by a rule, by rule',
  halt_acquired_total: 'HALT locks acquired',
  halt_timeouts_total: 'HALT locks not had within the time limit',
  halt_gate_total:
    'HALT locks not asked for since the node was not in step with its primary, by reason',
  halt_slow_total: 'HALT locks held for more than a second',
  halt_lost_total:
    'transactions rolled back since the HALT lock was over, lost or never had, by what told',
  halt_stuck_total: 'steps under HALT that LiteFS did not let end in time, by step',
  halt_helper_lost_total:
    'helper processes of the HALT lock that ended or hung, by what was asked of them',
  litefs_wedged_total: 'times that LiteFS stood still while its primary went on',
  commits_total: 'manifest transactions committed',
  commit_retries_total: 'manifest transactions tried again, by reason',
  changes_dropped_total: 'changes dropped because the commit queue was full',
  purges_total: 'purges done, by kind',
  tags_dropped_total: 'tags of answers that were beyond the limits',
  recovered_total: 'leftovers of a dead process removed, by kind',
  evicted_total: 'bodies removed so that a storage stays within its quota, by storage',
  quota_refused_total: 'bodies that a quota had no room for, by reason',
  scrubbed_total: 'stored bodies read for upkeep, by what was found',
  populated_total: 'bodies of new entries that were not here, by what came of fetching them',
  config_reloads_total: 'times that the configuration was loaded again, by what came of it',
  repaired_total: 'damaged bodies that were fetched again, by what came of it',
  peer_refused_total: 'peer requests refused for want of a token',
  shipped_total: 'changes handed to the primary, by outcome',
  primary_failures_total: 'calls that the primary refused or did not answer, by kind',
  journal_rows_total: 'journal rows of the primary that were brought in',
  snapshots_total: 'namespaces copied whole from the primary',
  hints_total: 'hints of something new sent to followers, by outcome',
  leases_total: 'leases on the lock for other nodes, by what became of them',
  peer_unreadable_total: 'peer requests refused because they could not be understood, by route',
};

/** Counters of one process. Labels are few and bounded; values only rise. */
export class Metrics {
  readonly #values = new Map<string, number>();

  /** One step (or `by`) of a counter, under a label where the table says "by …". */
  count(name: CounterName, label = '', by = 1): void {
    const key = label === '' ? name : `${name}{${label}}`;
    this.#values.set(key, (this.#values.get(key) ?? 0) + by);
  }

  /** The value now; without a label the sum over all labels. 0 where nothing happened. */
  value(name: CounterName, label?: string): number {
    if (label !== undefined) return this.#values.get(`${name}{${label}}`) ?? 0;
    let sum = this.#values.get(name) ?? 0;
    for (const [key, value] of this.#values) if (key.startsWith(`${name}{`)) sum += value;
    return sum;
  }

  /** Every counter of the table, `name` or `name{label}` → value, sorted; those that never stepped are 0. */
  snapshot(): Record<string, number> {
    const all = new Map<string, number>(this.#values);
    for (const name of Object.keys(COUNTERS)) {
      if (![...all.keys()].some((key) => key === name || key.startsWith(`${name}{`)))
        all.set(name, 0);
    }
    return Object.fromEntries([...all].sort(([a], [b]) => (a < b ? -1 : 1)));
  }
}
