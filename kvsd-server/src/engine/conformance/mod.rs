//! What every engine must do: the cases that each of them passes.
//!
//! The contract is what the documentation of [`Engine`](super::Engine) and of its types says, and no
//! more: nothing here knows an engine. Each file is about one noun, and lists above its cases the
//! sentences of the contract that they hold an engine to; [`contract`] checks that those lists are
//! whole and that the sentences still stand there.
//!
//! | file | about |
//! |---|---|
//! | [`points`] | one key: all ways to read it |
//! | [`conditions`] | what must hold for a write to happen |
//! | [`batches`] | several changes in a write, several writes in a call |
//! | [`counters`] | increments |
//! | [`lifetimes`] | records that end |
//! | [`tables`] | how tables come and go |
//! | [`statistics`] | what is told of a table and of the engine |
//! | [`scans`] | ranges, orders, pages |
//! | [`moments`] | at which moment a page stands |
//! | [`changes`] | the past of a table |
//! | [`waiting`] | being told that there is something new |
//! | [`concurrency`] | many at once |
//! | [`limits`] | the most that is taken |
//! | [`upkeep`] | backups and compactions |
//! | [`close`] | the end of an engine |
//!
//! An engine has its own module of tests call [`conformance`] beside a function `open`, which
//! answers a [`Fixture`], or `None` where there is nothing to test with. Each case becomes a test
//! there, so that a failure names both. To add a case, write it, and add it to [`with_cases`] and to
//! the list of its file. The log engine's are in its tests, etcd's in `on_etcd`. Next file to read:
//! [`fixture`].

pub(crate) mod batches;
pub(crate) mod changes;
mod clock;
pub(crate) mod close;
pub(crate) mod concurrency;
pub(crate) mod conditions;
mod contract;
pub(crate) mod counters;
mod fixture;
pub(crate) mod lifetimes;
pub(crate) mod limits;
pub(crate) mod moments;
#[cfg(feature = "etcd")]
mod on_etcd;
pub(crate) mod points;
pub(crate) mod scans;
pub(crate) mod statistics;
mod subject;
pub(crate) mod tables;
pub(crate) mod upkeep;
pub(crate) mod waiting;
mod writes;

pub(crate) use clock::TestClock;
pub(crate) use fixture::{
    Bytes, Creation, Differences, Ending, Fixture, History, Pages, Setup, Versions,
};
pub(crate) use subject::Subject;

use std::time::Duration;

/// Makes a test of each case, for the engine that `open` of the same module opens.
macro_rules! conformance {
    () => {
        $crate::engine::conformance::with_cases!($crate::engine::conformance::tests_of);
    };
}
pub(crate) use conformance;

macro_rules! tests_of {
    ($($file:ident { $($case:ident,)+ })+) => {
        $(mod $file {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $case() {
                    use $crate::engine::conformance::{Subject, run};
                    if let Some(fixture) = super::open().await {
                        run(Subject::new(fixture), $crate::engine::conformance::$file::$case).await;
                    }
                }
            )+
        })+
    };
}
pub(crate) use tests_of;

/// Hands the list of all cases to a macro.
macro_rules! with_cases {
    ($($callback:tt)+) => {
        $($callback)+! {
            points {
                a_value_reads_back_whatever_it_holds_and_after_reopening,
                every_way_to_read_finds_the_same_and_a_table_that_is_not_there_is_empty,
                a_buffer_only_grows_and_what_it_held_is_lost,
                what_was_answered_is_read_at_once_wherever_it_is_asked_for,
                a_stale_read_finds_what_stood_at_some_time,
                several_keys_are_read_as_one_after_the_other,
                keys_that_begin_alike_are_apart,
                what_an_engine_shows_of_itself_has_no_key_and_no_value,
            }
            conditions {
                a_condition_holds_exactly_where_it_says,
                a_conflict_names_the_change_and_the_version_that_stands_there,
                a_condition_on_a_version_holds_until_the_next_write_and_never_again,
                a_check_decides_over_others_and_leaves_its_record_alone,
            }
            batches {
                all_of_a_batch_happens_under_one_version,
                a_condition_that_does_not_hold_undoes_the_whole_batch,
                an_error_undoes_the_whole_batch,
                a_key_named_twice_is_refused,
                the_answer_tells_what_stood_before_as_it_was_asked_to,
                what_writes_nothing_has_no_version,
                writes_of_a_call_see_each_other_and_are_answered_in_order,
                a_write_that_fails_leaves_the_others_of_its_call_alone,
            }
            counters {
                an_increment_begins_at_0_and_adds_to_decimal_text,
                what_is_not_canonical_decimal_text_is_no_integer_and_stays,
                an_integer_never_leaves_its_range,
                the_answer_has_the_counters_in_the_order_of_the_changes,
            }
            lifetimes {
                a_record_ends_when_its_time_has_come_for_every_reader,
                an_end_is_set_moved_and_taken_away_and_the_value_stays,
                a_record_without_an_end_replaces_one_with_an_end,
                what_has_ended_counts_as_absent_for_conditions_and_actions,
                a_time_that_is_past_ends_a_record_at_once,
                a_counter_keeps_its_end_and_begins_anew_behind_it,
                ends_are_kept_over_a_reopening,
            }
            tables {
                a_table_comes_into_being_with_its_first_write_that_writes_something,
                a_table_is_made_once_listed_in_order_and_dropped_once,
                tables_are_apart,
                a_table_that_is_made_again_is_another_one_without_records,
                tables_and_drops_outlast_a_reopening,
                where_tables_are_made_on_request_a_write_makes_none,
                beyond_the_most_tables_none_is_made,
                many_who_make_or_drop_a_table_at_once_do_so_once,
                a_write_beside_a_drop_is_carried_out_before_it_or_after_it,
            }
            statistics {
                a_table_counts_its_keys_and_knows_its_last_version,
                bytes_follow_what_is_written_where_they_are_counted,
                the_figures_list_tables_in_order_as_their_statistics_tell_of_them,
                an_engine_describes_itself_and_is_ready,
            }
            scans {
                every_record_comes_once_in_order_both_ways_in_pages_of_any_size,
                a_range_has_what_lies_between_its_bounds,
                a_range_that_holds_nothing_is_empty,
                a_page_keeps_its_limits_but_for_the_first_record,
                keys_come_without_values_and_with_all_else,
                what_has_ended_is_skipped_however_much_of_it_there_is,
            }
            moments {
                a_page_shows_every_write_that_was_answered_before,
                a_page_stands_at_one_moment,
                pages_of_one_scan_stand_at_the_moment_of_the_first_where_the_engine_pins,
                what_stays_as_it_is_comes_exactly_once_beside_writes,
                a_stale_page_shows_what_stood_at_some_time,
                a_moment_that_is_not_kept_is_refused_by_name,
            }
            changes {
                every_change_is_told_once_in_order_from_any_position_in_pages_of_any_size,
                a_change_tells_value_and_end_and_a_delete_neither,
                what_changes_nothing_is_no_change,
                that_a_record_ends_is_no_change,
                where_nothing_has_changed_the_answer_is_at_once_and_goes_on,
                a_table_that_is_not_there_has_not_changed,
                the_past_is_told_after_a_reopening,
                a_position_that_the_table_never_had_is_a_gap,
                another_table_of_the_name_is_a_gap,
                what_is_not_kept_is_a_gap_to_go_on_from,
                a_batch_is_never_split_between_pages,
            }
            waiting {
                a_write_a_batch_a_table_that_comes_and_one_that_goes_wake_who_waits,
                who_is_behind_already_does_not_wait,
                the_end_of_the_engine_wakes_who_waits,
                those_who_leave_leave_nothing_behind,
                who_asks_and_waits_in_turns_misses_nothing,
            }
            concurrency {
                increments_are_all_counted_and_no_two_answers_are_the_same,
                who_swaps_by_version_loses_nothing,
                of_many_who_want_to_be_first_one_is,
                what_one_task_hands_in_is_carried_out_in_its_order_even_before_the_answers,
                the_order_of_a_task_holds_where_its_first_write_makes_the_table,
                nobody_sees_half_of_a_batch,
                who_has_read_a_write_never_reads_an_older_one,
                a_write_that_nobody_waits_for_happens_wholly_or_not_and_in_its_turn,
            }
            limits {
                a_batch_has_as_many_changes_as_the_engine_takes_and_no_more,
                a_value_is_as_large_as_the_engine_takes_and_no_larger,
                a_write_that_is_too_large_is_refused_and_leaves_nothing,
            }
            upkeep {
                a_backup_has_a_name_of_its_own_and_counts_what_it_holds,
                a_compaction_frees_garbage_and_takes_nothing_else,
            }
            close {
                a_closed_engine_refuses_everything_and_closes_twice,
                what_was_answered_outlasts_every_end,
                a_write_beside_the_close_is_answered_and_the_answer_is_kept,
            }
        }
    };
}
pub(crate) use with_cases;

/// Runs a case, which must end.
pub(crate) async fn run<C: Future<Output = ()>>(subject: Subject, case: fn(Subject) -> C) {
    tokio::time::timeout(PATIENCE, case(subject)).await.expect("the case hangs");
}

/// A slow machine is not a fault.
const PATIENCE: Duration = Duration::from_secs(120);
