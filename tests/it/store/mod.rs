//! Every store does the same: one suite by trait, run against each adapter, and what only SQLite can show.

mod answers;
mod events;
mod identity;
mod model;
mod nonces;
mod once;
mod once_model;
mod purposes;
mod replicas;
mod settings;
mod sqlite;
mod sqlite_open;
mod suite;
mod transfer;
mod verifications;
pub(crate) mod world;

/// One test for each function of a suite and each adapter.
macro_rules! conformance {
    ($suite:ident: $($name:ident),+ $(,)?) => {
        mod $suite {
            mod memory {
                $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $name() {
                    let world = crate::store::world::World::new();
                    let store = std::sync::Arc::new(world.memory());
                    crate::store::$suite::$name(&world, &store).await;
                })+
            }
            mod sqlite {
                $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $name() {
                    let (world, dir) = (crate::store::world::World::new(), tempfile::tempdir().unwrap());
                    let store = std::sync::Arc::new(world.sqlite(dir.path()));
                    let world = world.with_keyring(store.keyring());
                    crate::store::$suite::$name(&world, &store).await;
                })+
            }
            mod redis {
                $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $name() {
                    let (world, redis) = (crate::store::world::World::new(), crate::support::redis::Redis::start());
                    let store = std::sync::Arc::new(world.redis(&redis).await);
                    let world = world.with_keyring(store.keyring());
                    crate::store::$suite::$name(&world, &store).await;
                })+
            }
        }
    };
}

/// The same on a cluster, for what it does in another way than one server: where a change concerns several places.
macro_rules! on_a_cluster {
    ($suite:ident: $($name:ident),+ $(,)?) => {
        mod $suite {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                let (world, redis) = (crate::store::world::World::new(), crate::support::redis::Redis::cluster(3));
                let store = std::sync::Arc::new(world.redis(&redis).await);
                let world = world.with_keyring(store.keyring());
                crate::store::$suite::$name(&world, &store).await;
            })+
        }
    };
}

mod cluster {
    on_a_cluster!(answers:
        an_answer_is_kept_with_its_change,
        an_answer_takes_the_place_of_another,
        answers_are_dropped_step_by_step,
        an_answer_does_not_outlast_the_number_it_shows,
        answers_go_with_their_number,
    );
    on_a_cluster!(once:
        racers_commit_once,
        a_resend_counts_with_its_country_whatever_its_id_says,
    );
    on_a_cluster!(suite:
        concurrent_changes_lose_nothing,
    );
}

mod conformance {
    conformance!(suite:
        a_send_is_kept_whole,
        a_change_reads_what_the_one_before_wrote,
        exactly_one_of_many_right_checks_succeeds,
        wrong_checks_never_exceed_the_attempts,
        concurrent_changes_lose_nothing,
        a_deleted_otp_is_gone_with_its_messages,
        a_change_that_keeps_everything_changes_nothing,
        an_unknown_otp_has_no_records,
        messages_go_to_one_claimant_in_order,
        a_claim_is_given_back_or_runs_out,
        a_message_takes_the_place_of_another,
        a_message_is_shown_as_it_stands,
        concurrent_claimants_share_without_overlap,
        a_waiter_wakes_when_a_message_joins,
        a_waiter_wakes_when_a_message_is_due,
        due_follows_expiry_and_retention,
        a_number_has_its_otps_newest_first,
        pruning_keeps_what_a_rule_may_ask_for,
        an_erased_number_leaves_only_its_statistics,
    );
    conformance!(events:
        a_subscription_is_written_over_what_it_names,
        a_change_brings_its_events_and_no_others,
        only_who_is_interested_is_told,
        an_event_waits_dies_and_is_replayed,
        an_ended_subscription_leaves_nothing,
        an_erased_number_is_in_no_event,
    );
    conformance!(answers:
        an_answer_is_kept_with_its_change,
        an_answer_takes_the_place_of_another,
        answers_are_dropped_step_by_step,
        an_answer_does_not_outlast_the_number_it_shows,
        answers_go_with_their_number,
        housekeeping_drops_what_holds_no_more,
    );
    conformance!(identity:
        the_first_pair_stays,
        a_puzzle_is_tried_and_spent_once,
        a_session_lives_until_it_ends,
        a_session_is_replaced_by_one,
        a_number_has_so_many_sessions_and_no_more,
    );
    conformance!(verifications:
        a_verification_is_written_over_what_it_names,
        of_many_writers_of_a_verification_one_wins,
        what_is_due_goes_to_one_claimant,
        a_write_ends_a_claim_and_says_when_it_is_due_next,
        an_erased_number_leaves_whom_to_tell,
        what_ends_a_code_is_told_inside,
        how_one_ends_is_told_with_the_write_that_ends_it,
        an_erased_number_is_in_no_news_of_verifications,
    );
    conformance!(nonces:
        a_nonce_is_spent_once,
        of_many_who_spend_a_nonce_one_finds_it_fresh,
        nonces_are_dropped_when_they_are_over_step_by_step,
    );
    conformance!(purposes:
        the_newest_code_of_a_purpose_holds,
        no_purpose_verifies_another,
        one_of_many_checks_by_purpose_succeeds,
        of_many_sends_for_a_purpose_one_code_is_left,
        a_check_says_how_old_a_code_may_be_where_its_send_lets_it,
        a_number_has_a_bounded_count_of_purposes,
    );
    conformance!(once:
        racers_commit_once,
        a_resend_counts_with_its_country_whatever_its_id_says,
    );
    conformance!(settings:
        a_setting_is_written_over_what_it_names,
        languages_of_older_releases_are_kept_and_count,
        aliases_and_the_default_are_unique,
        accounts_do_not_share_applications,
        a_connection_is_found_by_its_names,
        concurrent_writers_of_a_setting_lose_nothing,
    );
}
