//! The one list of all laws, and the macros that turn it into tests and into a table.
//!
//! A law is named once, here, with what it needs: `anywhere`, a `bucket`, or a world that can
//! `remount`. A test of this crate compares the list with the source of the suites.

/// Makes a test of every law, for one kind of [`World`](crate::World).
///
/// The argument is an async function, or closure, that makes a fresh world. The tests are in one
/// module for each theme, so that a failure names the law:
/// `names::a_name_may_have_255_bytes`.
///
/// A world without a bucket, or one that cannot be mounted again, must say so. The laws that need
/// it are then shown as ignored, with the reason:
///
/// ```
/// # mod tests {
/// use cloudmount_testkit::model::ModelWorld;
///
/// async fn world() -> ModelWorld {
///     ModelWorld::default()
/// }
///
/// cloudmount_testkit::vfs_tests!(world, without: bucket, remount);
/// # }
/// ```
#[macro_export]
macro_rules! vfs_tests {
    ($make:ident) => {
        $crate::__for_each_law! { __law_tests, $make, [] }
    };
    ($make:ident, without: $($missing:ident),+ $(,)?) => {
        $crate::__for_each_law! { __law_tests, $make, [$($missing)+] }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __law_tests {
    ($make:ident, $missing:tt, $($theme:ident { $($law:ident: $needs:ident;)* })*) => {
        $(mod $theme {
            use super::*;

            $($crate::__law_test! { $make, $theme, $law, $needs, $missing })*
        })*
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __law_test {
    ($make:ident, $theme:ident, $law:ident, bucket, [bucket $($rest:ident)*]) => {
        #[test]
        #[ignore = "needs a bucket, and this world has none"]
        fn $law() {
            $crate::__law_test! { @body $make, $theme, $law }
        }
    };
    ($make:ident, $theme:ident, $law:ident, remount, [remount $($rest:ident)*]) => {
        #[test]
        #[ignore = "needs a world that can be mounted again, and this one cannot"]
        fn $law() {
            $crate::__law_test! { @body $make, $theme, $law }
        }
    };
    ($make:ident, $theme:ident, $law:ident, $needs:ident, [$other:ident $($rest:ident)*]) => {
        $crate::__law_test! { $make, $theme, $law, $needs, [$($rest)*] }
    };
    ($make:ident, $theme:ident, $law:ident, $needs:ident, []) => {
        #[test]
        fn $law() {
            $crate::__law_test! { @body $make, $theme, $law }
        }
    };
    (@body $make:ident, $theme:ident, $law:ident) => {
        let law = stringify!($law);
        $crate::suite::run($make, law, |mounted| Box::pin($crate::suite::$theme::$law(mounted)));
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __law_table {
    ($world:ident, [], $($theme:ident { $($law:ident: $needs:ident;)* })*) => {
        vec![$($($crate::suite::Law {
            theme: stringify!($theme),
            name: stringify!($law),
            needs: $crate::__law_needs!($needs),
            check: |mounted| Box::pin($crate::suite::$theme::$law::<$world>(mounted)),
        },)*)*]
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __law_needs {
    (anywhere) => {
        $crate::suite::Needs::Nothing
    };
    (bucket) => {
        $crate::suite::Needs::Bucket
    };
    (remount) => {
        $crate::suite::Needs::Remount
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __for_each_law {
    ($callback:ident, $one:ident, $two:tt) => {
        $crate::$callback! {
            $one, $two,
            names {
                a_name_may_have_255_bytes: anywhere;
                a_name_of_256_bytes_is_too_long: anywhere;
                a_name_may_hold_any_character_but_slash_and_nul: anywhere;
                a_directory_may_have_any_name: anywhere;
                names_differ_by_case: anywhere;
                names_are_not_normalised: anywhere;
                a_key_of_more_than_1024_bytes_is_too_long: anywhere;
                a_rename_that_makes_keys_too_long_is_refused: anywhere;
                a_missing_name_is_not_found: anywhere;
                a_path_through_a_file_is_not_a_directory: anywhere;
                dot_dot_leads_up: anywhere;
                numbers_are_the_same_after_the_kernel_forgot_them: anywhere;
            }
            data {
                what_was_written_is_read: anywhere;
                a_new_file_is_empty: anywhere;
                a_read_past_the_end_gives_what_is_there: anywhere;
                a_read_gives_just_the_range: anywhere;
                an_overwrite_changes_only_its_range: anywhere;
                a_write_past_the_end_leaves_zeros_between: anywhere;
                writes_in_any_order_make_one_content: anywhere;
                large_writes_cross_every_boundary: anywhere;
                a_small_change_of_a_large_file_changes_only_its_range: anywhere;
                appending_writes_go_to_the_end: anywhere;
                two_appenders_never_overwrite_each_other: anywhere;
                open_with_truncate_drops_the_content: anywhere;
                truncate_cuts: anywhere;
                truncate_extends_with_zeros: anywhere;
                bytes_cut_off_never_come_back: anywhere;
                a_writers_bytes_are_visible_at_once: anywhere;
                two_writers_of_one_file_both_get_in: anywhere;
                exclusive_create_fails_if_the_name_exists: anywhere;
                create_opens_a_file_that_exists: anywhere;
                copy_file_range_copies: anywhere;
                copy_file_range_copies_within_a_file: anywhere;
                fallocate_extends_and_never_cuts: anywhere;
                a_file_larger_than_any_object_is_refused: anywhere;
            }
            dirs {
                a_new_directory_is_empty: anywhere;
                mkdir_fails_if_the_name_exists: anywhere;
                rmdir_removes_an_empty_directory: anywhere;
                rmdir_of_a_full_directory_is_refused: anywhere;
                each_kind_has_its_own_way_of_removal: anywhere;
                a_folder_stays_when_its_last_entry_goes: anywhere;
                times_of_a_directory_move_with_its_entries: anywhere;
                times_of_a_directory_stay_when_content_changes: anywhere;
                a_listing_agrees_with_stat: anywhere;
                a_large_directory_is_listed_whole: anywhere;
                a_scan_survives_removals: anywhere;
                a_scan_survives_additions: anywhere;
                a_scan_can_go_back: anywhere;
                removing_while_scanning_removes_all: anywhere;
                a_removed_directory_takes_no_entries: anywhere;
                directories_nest_deeply: anywhere;
                a_name_can_be_used_again_for_another_kind: anywhere;
            }
            rename {
                a_renamed_file_keeps_its_content: anywhere;
                a_renamed_inode_keeps_its_number: anywhere;
                a_rename_over_a_file_replaces_it: anywhere;
                a_rename_onto_itself_changes_nothing: anywhere;
                a_renamed_directory_moves_with_everything_below: anywhere;
                the_old_name_of_a_directory_is_free: anywhere;
                a_directory_replaces_an_empty_one_only: anywhere;
                kinds_do_not_replace_each_other: anywhere;
                a_directory_cannot_move_below_itself: anywhere;
                a_missing_source_or_parent_is_not_found: anywhere;
                no_replace_is_exact: anywhere;
                exchange_is_exact_or_refused: anywhere;
                an_open_handle_follows_a_rename: anywhere;
                a_rename_over_an_open_file_leaves_its_reader_the_old_bytes: anywhere;
                attributes_travel_with_a_rename: anywhere;
                files_change_places_through_a_third_name: anywhere;
                a_rename_can_change_only_the_case: anywhere;
                saving_by_rename_shows_old_or_new: anywhere;
            }
            attributes {
                what_is_made_has_the_mode_and_the_owner: anywhere;
                chmod_sets_all_twelve_bits: anywhere;
                chown_sets_owner_and_group: anywhere;
                times_can_be_set_to_the_nanosecond: anywhere;
                setting_a_time_to_now_takes_the_clock: anywhere;
                a_time_that_was_set_survives_the_close: anywhere;
                a_new_file_has_the_time_of_its_making: anywhere;
                a_write_moves_the_times_and_a_read_does_not: anywhere;
                truncate_moves_the_times: anywhere;
                chmod_moves_ctime_only: anywhere;
                the_size_agrees_with_what_is_read: anywhere;
                a_rewrite_keeps_mode_and_owner: anywhere;
                a_setgid_directory_hands_on_its_group: anywhere;
                attributes_survive_mounting_again: remount;
                a_directory_cannot_be_truncated: anywhere;
                access_follows_the_mode: anywhere;
                statfs_tells_room_and_limits: anywhere;
                the_root_is_a_directory_like_others: anywhere;
            }
            handles {
                handles_of_one_file_are_independent: anywhere;
                a_duplicated_descriptor_keeps_the_file_open: anywhere;
                many_files_can_be_open: anywhere;
                a_read_after_the_release_is_honoured: anywhere;
                a_write_after_the_release_is_honoured: anywhere;
                flush_and_fsync_after_the_release_are_honoured: anywhere;
                a_handle_that_was_never_given_is_refused: anywhere;
                a_handle_serves_only_what_it_was_opened_for: anywhere;
                flush_and_fsync_can_be_repeated: anywhere;
                a_directory_is_not_opened_as_a_file: anywhere;
                opening_again_shows_the_last_write: anywhere;
            }
            unlinked {
                an_open_file_works_without_a_name: anywhere;
                an_open_file_without_a_name_has_no_links: anywhere;
                the_name_of_an_unlinked_file_is_free: anywhere;
                all_handles_of_an_unlinked_file_agree: anywhere;
                a_temporary_file_works: anywhere;
                a_directory_goes_while_its_unlinked_files_are_open: anywhere;
            }
            symlinks {
                a_symlink_says_what_it_was_given: anywhere;
                a_target_may_have_4095_bytes: anywhere;
                paths_go_through_symlinks: anywhere;
                a_symlink_may_lead_nowhere: anywhere;
                a_loop_of_symlinks_ends: anywhere;
                removing_a_symlink_leaves_its_target: anywhere;
                only_symlinks_are_read_as_such: anywhere;
                symlinks_survive_mounting_again: remount;
            }
            xattrs {
                xattrs_can_be_set_listed_and_removed: anywhere;
                the_mode_of_setting_is_honoured: anywhere;
                a_missing_xattr_is_no_attribute: anywhere;
                other_namespaces_are_told_not_to_be_there: anywhere;
                a_value_may_hold_any_bytes: anywhere;
                a_name_may_hold_any_text: anywhere;
                other_namespaces_are_not_offered: anywhere;
                what_does_not_fit_is_refused: anywhere;
                xattrs_survive_a_rewrite: anywhere;
                xattrs_survive_mounting_again: remount;
            }
            sparse {
                a_hole_reads_as_zeros: anywhere;
                seeking_finds_all_data: anywhere;
                the_end_counts_as_a_hole: anywhere;
                a_hole_can_be_filled: anywhere;
            }
            concurrency {
                writers_of_different_files_do_not_meet: anywhere;
                writers_of_one_file_all_get_in: anywhere;
                appenders_lose_nothing: anywhere;
                one_exclusive_creator_wins: anywhere;
                lookups_agree_on_the_number: anywhere;
                renames_to_one_name_leave_one: anywhere;
                a_rename_succeeds_once: anywhere;
                a_storm_of_changes_leaves_what_is_left: anywhere;
                a_reader_sees_old_or_new_bytes: anywhere;
                an_interrupted_operation_can_be_repeated: anywhere;
            }
            remote {
                a_foreign_object_is_a_file: bucket;
                a_missing_name_is_found_when_it_appears: bucket;
                a_foreign_overwrite_is_seen: bucket;
                a_foreign_removal_is_seen: bucket;
                foreign_keys_make_folders: bucket;
                a_foreign_marker_is_a_folder: bucket;
                a_folder_without_marker_goes_with_its_last_key: bucket;
                a_folder_without_marker_stays_when_emptied_here: bucket;
                a_folder_with_keys_needs_no_marker: bucket;
                a_reader_never_sees_a_mixture: bucket;
                a_reader_of_a_removed_object_gets_old_bytes_or_an_error: bucket;
                opening_after_a_foreign_overwrite_shows_the_new: bucket;
                a_local_change_is_not_undone_by_the_bucket: bucket;
                foreign_metadata_is_kept: bucket;
                many_foreign_objects_are_listed_whole: bucket;
                keys_that_no_path_can_say_are_shown_and_hide_nothing: bucket;
            }
            durability {
                a_file_is_under_its_key_byte_for_byte: bucket;
                names_are_keys_as_they_are: bucket;
                a_removed_file_is_gone_from_the_bucket: bucket;
                the_last_content_is_in_the_bucket: bucket;
                every_kind_of_change_arrives: bucket;
                a_renamed_file_is_under_its_new_key_only: bucket;
                all_keys_of_a_renamed_folder_move: bucket;
                a_folder_has_a_marker: bucket;
                an_unlinked_file_leaves_no_key: bucket;
                a_file_renamed_while_written_ends_under_its_new_key: bucket;
                the_bucket_ends_as_the_last_calls_say: bucket;
                a_change_of_attributes_keeps_the_content: bucket;
                everything_survives_mounting_again: remount;
                what_was_closed_survives_mounting_again: remount;
            }
        }
    };
}
