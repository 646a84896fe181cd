//! Hostile clients against the real server, over real sockets: whatever they do, it does not panic,
//! does not hold more than its limits say, and serves others meanwhile.
//!
//! [`target`] is the server, [`wire`] a client that says what it likes, [`witness`] one who behaves
//! and must be served all along. [`grammar`], [`memory`], [`limits`], [`crowds`], [`logins`],
//! [`files`] and [`stop`] are the known ways to do harm, [`random`] those that nobody has thought
//! of, and [`soak`] is what time does. [`nonsense`] belongs to the tests of sessions, which send two
//! hundred thousand of its scripts through pipes; a fuzzer does without it
//! (`fuzz/fuzz_targets/session.rs`).
//!
//! What others got wrong, each with the tests that would notice it, or with the reason why it cannot
//! occur here ([`pitfalls`] checks that the tests exist). First the project's list of pitfalls, as
//! far as it is about protocol and server, then what Valkey's suites try, in our terms.
//!
//! # Pitfalls of protocol and server
//!
//! 1. An unknown prefix, an oversized length, a message without frames or a malformed time ends the
//!    server before anybody has logged in.
//!     - `garbage_in_any_state_is_answered_and_closed_and_others_are_served`
//!     - `a_stranger_gets_nothing_whatever_he_asks_first`
//!     - `ten_thousand_sessions_of_nonsense_do_the_server_no_harm`
//! 2. Memory is taken by a count or a length that was promised.
//!     - `promises_of_length_and_count_take_no_memory`
//!     - `nonsense_never_breaks_a_session_nor_makes_it_hold_much`
//! 3. Answers wait without bound for those who do not read.
//!     - `clients_that_never_read_are_answered_up_to_a_bound_and_others_are_served`
//!     - `writes_without_an_end_from_one_who_never_reads_are_bounded`
//! 4. So they do before anybody has logged in.
//!     - `one_who_says_hello_for_ever_is_answered_once`
//! 5. A large value in small pieces is parsed from its start with every piece.
//!     - `a_large_value_in_small_pieces_costs_work_in_proportion_to_its_size`
//!     - `a_value_of_10_mib_in_small_pieces_is_looked_at_once`
//!     - `a_large_message_in_small_pieces_is_moved_a_few_times_and_then_forgotten`
//! 6. A line end in a key makes a request of what stands behind it.
//!     - `line_ends_and_requests_in_keys_and_values_stay_data`
//! 7. A silent client holds the TLS handshakes of all others up.
//!     - `a_thousand_silent_tls_handshakes_hold_nobody_up_and_end_in_time`
//!     - `slow_writers_are_waited_for_by_nobody_else`
//! 8. A slot is given back too early, and the limit is none.
//!     - `a_client_too_many_waits_and_is_served_when_one_leaves`
//!     - `a_slot_comes_back_however_its_client_ends`
//! 9. An error of accept ends the server.
//!     - `silent_clients_leave_the_tables_their_descriptors`
//!     - `errors_of_accept_delay_the_next_connection_and_end_nothing`
//! 10. A password, a key or a value stands in a log line.
//!     - `the_printed_url_logs_in_and_no_secret_reaches_the_log`
//!     - `no_log_line_holds_a_key_a_value_or_a_password`
//! 11. There is a password by default.
//!     - `unsafe_or_incomplete_settings_are_refused_with_what_to_do`
//! 12. Hashes of passwords are fast, or without salt.
//!     - `the_same_password_hashes_differently_each_time`
//!     - `other_algorithms_and_cut_or_costly_hashes_are_refused`
//! 13. An unknown user is answered faster.
//!     - `an_unknown_user_costs_a_check`
//! 14. Checking passwords is all that the server still does.
//!     - `a_flood_of_bad_passwords_is_refused_within_bounds_and_those_inside_are_served`
//!     - `the_queue_has_an_end_and_recovers`
//! 15. A rule that nobody wrote lets everybody in.
//!     - `unsafe_or_incomplete_settings_are_refused_with_what_to_do`
//!     - `a_stranger_gets_nothing_whatever_he_asks_first`
//! 16. Operations of administrators, or those that only tell, are left unchecked.
//!     - `every_operation_is_carried_out_for_those_who_may_and_for_nobody_else`
//!     - `what_is_for_administrators_is_not_done_over_a_data_connection`
//!     - `nonsense_of_a_user_with_few_rights_reaches_no_table_of_others`
//!     - `a_full_server_can_still_be_administered_by_its_owner_alone`
//! 17. A client takes every certificate, or expects the wrong name.
//!     - `an_untrusted_certificate_and_one_of_another_host_are_told_apart`
//! 18. A new certificate needs a restart.
//!     - `a_new_certificate_is_taken_and_a_bad_one_is_not`
//! 19. The name of a table is taken as a path.
//!     - `no_name_of_a_table_or_a_backup_is_a_path`
//! 20. A socket or a file can be opened before it has its mode.
//!     - `what_the_server_keeps_is_open_to_its_owner_alone`
//!     - `creating_never_overwrites_and_replacing_leaves_nothing_beside`
//! 21. A stop has no deadline.
//!     - `a_stop_ends_in_time_whoever_is_connected_and_keeps_what_was_acknowledged`
//! 22. A stop does not wait for what is being written.
//!     - `a_stop_under_load_ends_cleanly_and_loses_nothing_that_was_acknowledged`
//! 23. A second login ends the session in a panic.
//!     - `a_second_login_and_what_only_servers_say_are_refused`
//! 24. So does a reply that a client sends.
//!     - `a_second_login_and_what_only_servers_say_are_refused`
//! 25. A close throws away what was said last.
//!     - `a_fail_can_be_read_even_if_more_was_sent_than_the_server_read`
//! 26. TLS on a plain port, or the other way round, is answered with silence.
//!     - `a_tls_client_on_a_plain_port_is_told_what_the_port_speaks`
//!     - `a_plain_client_on_a_tls_port_gets_an_alert_and_the_end`
//! 27. One busy client has the thread for itself.
//!     - `a_busy_session_lets_others_have_the_thread`
//! 28. What has gone leaves something behind, every time.
//!     - `resets_and_half_closes_at_any_byte_leave_nothing_behind`
//!     - `what_a_server_holds_does_not_grow_with_the_time_that_it_runs`
//! 29. A request for a limit plus one is carried out, or ends more than itself.
//!     - `requests_for_every_limit_plus_one_are_refused_and_the_next_one_is_served`
//! 30. Limits hold for each client, and all of them together take what they like.
//!     - `what_all_clients_hold_together_stays_below_its_limit`
//!     - `while_the_memory_is_full_requests_are_refused_and_a_ping_is_not`
//! 31. Those who came first and say nothing keep everybody else out.
//!     - `a_thousand_silent_handshakes_keep_nobody_out`
//!     - `an_address_that_has_enough_is_told_so_and_others_are_served`
//!     - `a_client_that_is_idle_for_too_long_is_closed_and_a_busy_one_is_not`
//!     - `nonsense_under_the_tightest_limits_leaves_the_server_as_it_was`
//! 32. Writes go on until the disk is full.
//!     - `a_disk_that_is_nearly_full_takes_deletes_and_no_other_writes`
//! 33. A refusal leaves no trace for who runs the server.
//!     - `whoever_is_refused_is_named_in_the_log_with_the_reason`
//!
//! # Valkey, protocol
//!
//! 1. An empty query.
//!     - `garbage_in_any_state_is_answered_and_closed_and_others_are_served`
//! 2. A count of arguments that is negative or out of range.
//!     - `garbage_in_any_state_is_answered_and_closed_and_others_are_served`
//! 3. An argument's header that is wrong, negative, out of range or no number.
//!     - `garbage_in_any_state_is_answered_and_closed_and_others_are_served`
//! 4. A request with too few or too many arguments.
//!     - `requests_with_the_wrong_frames_are_refused_and_the_session_goes_on`
//! 5. A stream that never becomes a request.
//!     - `what_never_becomes_a_message_is_given_up_early`
//! 6. Unbalanced quotes.
//!     - Cannot occur: there is one form of a request, and it has no quotes.
//! 7. Answers that break their grammar.
//!     - `the_bytes_of_every_message_are_fixed_and_say_what_was_meant`
//!     - `ten_thousand_sessions_of_nonsense_do_the_server_no_harm`
//! 8. Requests that block, with others behind them, and a client that goes.
//!     - `a_session_that_is_gone_leaves_no_watch_behind`
//!     - `resets_and_half_closes_at_any_byte_leave_nothing_behind`
//! 9. Arguments of an idle client that are forgotten while it is still sending them.
//!     - `a_large_message_in_small_pieces_is_moved_a_few_times_and_then_forgotten`
//!
//! # Valkey, limits
//!
//! 1. More clients than are allowed.
//!     - `an_address_that_has_enough_is_told_so_and_others_are_served`
//!     - `a_client_too_many_waits_and_is_served_when_one_leaves`
//! 2. More clients than there are descriptors.
//!     - `silent_clients_leave_the_tables_their_descriptors`
//!
//! # Valkey, output buffers
//!
//! 1. A client that does not read passes the hard limit.
//!     - `a_client_that_never_reads_is_cut_off_at_the_hard_limit`
//!     - `clients_that_never_read_are_answered_up_to_a_bound_and_others_are_served`
//! 2. One that passes the soft limit and catches up.
//!     - `a_client_that_does_not_read_is_not_read_from_and_misses_nothing`
//! 3. A single answer above the limit.
//!     - `a_small_answer_passes_a_large_one_and_large_ones_take_turns`
//! 4. A pipeline whose answers are above it.
//!     - `a_pipeline_ends_once_its_answer_is_full_and_what_is_behind_is_not_carried_out`
//! 5. A transaction whose client does not read is carried out as a whole.
//!     - `a_batch_of_one_who_never_reads_is_carried_out_as_a_whole`
//! 6. All keys are asked for at once.
//!     - `a_page_ends_before_it_is_longer_than_an_answer_may_be`
//! 7. All of a hash is asked for at random.
//!     - Cannot occur: a value is stored and read as a whole, and has a limit.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "in a test a panic is the right answer to a surprise")]

mod crowds;
mod files;
mod grammar;
mod limits;
mod logins;
mod memory;
#[path = "../../src/session/tests/nonsense.rs"]
mod nonsense;
mod pitfalls;
mod random;
mod soak;
mod stop;
#[path = "../support/mod.rs"]
mod support;
mod target;
mod wire;
mod witness;
