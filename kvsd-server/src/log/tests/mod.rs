//! Tests of the log engine as a whole.
//!
//! [`model`] runs random histories against an ordered map, on a disk that crashes and fails;
//! [`crash`] crashes at every single call, [`drops`] at those of a drop, and [`rotation`] has a
//! fault at each of its calls; [`compaction`] frees room, [`clearing`] all of it on request;
//! [`damage`] flips and cuts every byte; [`fixtures`] opens what earlier versions have written; [`scan`] and [`changes`] read in
//! order; [`backup`] makes backups and restores them; [`engine`] and [`many`] go through the async
//! engine, and [`files`] counts its descriptors; [`conformance`] has the cases that every engine
//! passes.
//!
//! The cases of the project's list of pitfalls, each with the tests that would notice it, or with
//! the reason why it cannot occur here ([`pitfalls`] checks that the tests exist):
//!
//! 1. A tail of zeros, or of garbage, stops the start.
//!     - `a_tail_of_garbage_or_zeros_or_a_cut_group_is_cut_and_what_was_cut_is_kept`
//! 2. One bad byte, and all behind it is dropped without a word.
//!     - `damage_in_one_place_after_an_unclean_end_costs_no_more_than_the_last_group`
//!     - `any_damage_is_named_and_costs_only_the_records_that_it_hits`
//! 3. A damaged victim is read as a short one, and removed with what lives in it.
//!     - `a_damaged_victim_is_left_as_it_is_and_the_table_goes_on`
//! 4. A length is believed before its checksum.
//!     - `any_damage_to_a_cleanly_closed_table_is_refused`
//!     - `a_damaged_hint_is_made_again_and_is_never_an_error`
//! 5. A second crash, during the recovery, loses what the first has spared.
//!     - `a_crash_at_any_call_and_at_any_call_of_the_recovery_loses_nothing`
//! 6. What is recovered has a hole.
//!     - `with_a_sync_now_and_then_a_crash_leaves_a_prefix_that_reaches_the_last_sync`
//! 7. Blocks that were used before hold old records that still verify.
//!     - `a_header_reads_back_only_in_its_own_place`
//!     - `a_segment_opens_only_as_what_it_was_made`
//! 8. A sound log is refused because a fragment at its end was dropped.
//!     - `a_segment_without_its_end_opens_as_a_prefix_of_what_was_written`
//! 9. Half of a batch is applied.
//!     - `a_group_cut_at_any_byte_is_a_torn_tail`
//!     - `with_every_write_synced_a_crash_loses_nothing_acknowledged_and_invents_nothing`
//! 10. Files that cannot be found by name, and a dropped table whose data returns.
//!     - `after_a_crash_at_any_call_a_dropped_table_is_gone_and_every_other_is_there`
//! 11. Deleted keys return once some of the segments are merged.
//!     - `a_deleted_key_does_not_return_when_only_its_delete_is_compacted`
//! 12. A delete loses against a merge that runs beside it.
//!     - `a_write_or_a_delete_beside_a_compaction_wins`
//! 13. The clock goes back, and older values win.
//!     - `an_expired_record_is_absent_even_when_the_clock_goes_back`
//! 14. The same segment is merged for ever.
//!     - `a_segment_of_deletes_that_are_still_needed_is_not_compacted_again_and_again`
//! 15. After a second merge the table does not open.
//!     - `what_was_compacted_is_compacted_again_and_opens_each_time`
//! 16. An empty newest file is in the way of writes.
//!     - `remains_of_a_crash_are_removed_and_are_no_damage`
//! 17. A failed sync is ignored, or forgotten with the next one.
//!     - `after_a_failed_sync_the_table_refuses_writes_and_goes_on_reading`
//! 18. A write is acknowledged before it is synced.
//!     - `readers_do_not_see_a_write_before_it_is_synced`
//!     - `the_model_notices_a_disk_that_does_not_sync`
//! 19. A manifest names the output of a compaction that is not synced yet.
//!     - `a_crash_at_any_call_and_at_any_call_of_the_recovery_loses_nothing`
//! 20. A folder is not synced after a file was made or renamed.
//!     - `a_crash_at_any_call_and_at_any_call_of_the_recovery_loses_nothing`
//! 21. A segment is not synced before the next one is begun.
//!     - `a_crash_at_any_call_and_at_any_call_of_the_recovery_loses_nothing`
//! 22. After a failed sync a restart believes the page cache.
//!     - `after_a_failed_sync_the_table_refuses_writes_and_goes_on_reading`
//! 23. Who reads waits for a sync.
//!     - `readers_do_not_see_a_write_before_it_is_synced`
//!     - `statistics_do_not_wait_for_a_sync_and_name_what_stopped_a_table`
//! 24. A full disk damages the log, or stops what would make room.
//!     - `a_full_disk_refuses_sets_allows_deletes_and_recovers_without_a_restart`
//!     - `what_is_wholly_dead_is_freed_on_a_disk_without_any_room`
//!     - `a_fault_at_any_call_loses_nothing_either`
//! 25. A lock file left behind stops the start.
//!     - `a_store_that_is_open_is_locked_and_one_that_is_closed_is_not`
//! 26. A start reads every value.
//!     - `a_table_opens_by_its_hints_without_reading_values_and_damage_shows_when_it_is_read`
//! 27. Arithmetic fails past 4 GiB.
//!     - `a_location_keeps_its_parts_and_refuses_what_it_cannot_hold`
//! 28. A panic passes for a clean end.
//!     - `versions_go_on_by_one_after_a_clean_close_and_far_above_after_a_crash`
//! 29. A temporary file left behind is taken for damage.
//!     - `remains_of_a_crash_are_removed_and_are_no_damage`
//! 30. After an error a scan skips the rest without a word.
//!     - `damage_to_a_sealed_segment_is_an_error_when_it_is_read_and_never_another_value`
//! 31. A watch waits on a member that is cut off.
//!     - Cannot occur: a table has one machine, and its history is read from its own log.
//! 32. Whoever gives a path for a backup writes where he likes.
//!     - Cannot occur: a name that could be a path is no `BackupName`, which has a test of its own
//!       (`a_name_is_never_a_path_nor_that_of_a_backup_half_made`).
//! 33. Version 1: an empty value ends the table's task.
//!     - `a_value_reads_back_whatever_its_size_and_after_reopening`
//! 34. Version 1: checksums are written and never compared.
//!     - `a_record_that_rots_under_a_running_server_is_an_error_and_never_missing`
//! 35. Version 1: nothing is synced.
//!     - `the_model_notices_a_disk_that_does_not_sync`
//! 36. Version 1: new records are appended to debris.
//!     - `a_tail_of_garbage_or_zeros_or_a_cut_group_is_cut_and_what_was_cut_is_kept`
//! 37. Version 1: reads and writes share a file's cursor.
//!     - Cannot occur: every read and write of [`super::storage::disk`] names its offset.
//! 38. Version 1: a set reads the old value and throws it away.
//!     - Cannot occur: a set reads a record's key, and its value only if that was asked for.
//! 39. Version 1: an I/O error reaches its caller as a closed channel.
//!     - `after_a_failed_sync_the_table_refuses_writes_and_goes_on_reading`

#[cfg(feature = "cli")]
mod backup;
mod changes;
mod clearing;
mod compaction;
mod conformance;
mod crash;
mod damage;
mod drops;
mod engine;
#[cfg(target_os = "linux")]
mod files;
mod fixtures;
mod history;
mod many;
mod model;
#[cfg(feature = "cli")]
mod offline;
mod pitfalls;
mod rotation;
mod scan;

use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use kvsd::UnixMillis;

use super::clock::Clock;
use crate::engine::{Action, BeforeDetail, Change, Condition, Write};

/// A clock that a test sets.
#[derive(Debug)]
struct ManualClock(AtomicU64);

impl ManualClock {
    fn at(millis: u64) -> Self {
        Self(AtomicU64::new(millis))
    }

    fn set(&self, millis: u64) {
        self.0.store(millis, Ordering::Relaxed);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> UnixMillis {
        UnixMillis::new(self.0.load(Ordering::Relaxed)).unwrap()
    }
}

fn set(key: &[u8], value: &[u8]) -> Write {
    one(key, Condition::Any, Action::Set { value: Bytes::copy_from_slice(value), expires_at: None })
}

fn delete(key: &[u8]) -> Write {
    one(key, Condition::Any, Action::Delete)
}

fn one(key: &[u8], condition: Condition, action: Action) -> Write {
    let change = Change { key: Bytes::copy_from_slice(key), condition, action };
    Write { changes: [change].into(), before: BeforeDetail::Record }
}
