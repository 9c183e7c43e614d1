//! Every flaw of the model is found: no check of the harness is blind.

use std::panic::{AssertUnwindSafe, catch_unwind};

use cloudmount_testkit::World;
use cloudmount_testkit::kernel::{Interrupt, Options};
use cloudmount_testkit::model::{Flaw, ModelWorld, Pace, Settings};
use cloudmount_testkit::suite::{self, Law};

/// The law that is to find each flaw.
const FOUND_BY: [(Flaw, &str); 47] = [
    (Flaw::KindChanges, "what_was_written_is_read"),
    (Flaw::WrongNumber, "the_size_agrees_with_what_is_read"),
    (Flaw::SharedHandle, "handles_of_one_file_are_independent"),
    (Flaw::CountsRefused, "a_large_directory_is_listed_whole"),
    (Flaw::ForgetsBare, "a_large_directory_is_listed_whole"),
    (Flaw::RepeatsEntry, "a_large_directory_is_listed_whole"),
    (Flaw::LosesEntry, "a_large_directory_is_listed_whole"),
    (Flaw::LongRead, "a_read_gives_just_the_range"),
    (Flaw::ShortRead, "what_was_written_is_read"),
    (Flaw::HalfWrite, "what_was_written_is_read"),
    (Flaw::KeepsStalePages, "a_foreign_overwrite_is_seen"),
    (
        Flaw::AppliesBeforeReady,
        "an_interrupted_operation_can_be_repeated",
    ),
    (Flaw::AppendsAtOffset, "appending_writes_go_to_the_end"),
    (Flaw::TruncateLeavesTail, "bytes_cut_off_never_come_back"),
    (
        Flaw::IgnoresTruncate,
        "open_with_truncate_drops_the_content",
    ),
    (Flaw::IgnoresNoReplace, "no_replace_is_exact"),
    (Flaw::RenameRenumbers, "a_renamed_inode_keeps_its_number"),
    (
        Flaw::RmdirIgnoresEntries,
        "rmdir_of_a_full_directory_is_refused",
    ),
    (
        Flaw::FoldersVanish,
        "a_folder_stays_when_its_last_entry_goes",
    ),
    (
        Flaw::UnlinkDropsContent,
        "an_open_file_works_without_a_name",
    ),
    (Flaw::ForgetsMode, "chmod_sets_all_twelve_bits"),
    (
        Flaw::ForgetsNanoseconds,
        "times_can_be_set_to_the_nanosecond",
    ),
    (
        Flaw::FrozenParent,
        "times_of_a_directory_move_with_its_entries",
    ),
    (Flaw::IgnoresSetgid, "a_setgid_directory_hands_on_its_group"),
    (Flaw::MixesVersions, "a_reader_never_sees_a_mixture"),
    (
        Flaw::RefusesReleased,
        "a_read_after_the_release_is_honoured",
    ),
    (Flaw::DropsXattrs, "xattrs_can_be_set_listed_and_removed"),
    (
        Flaw::ForgetsAttributesAtRemount,
        "attributes_survive_mounting_again",
    ),
    (Flaw::FoldsCase, "names_differ_by_case"),
    (Flaw::GenerationChanges, "a_foreign_overwrite_is_seen"),
    (Flaw::NameWithoutLinks, "a_new_file_is_empty"),
    (Flaw::OffersAfterFull, "a_large_directory_is_listed_whole"),
    (Flaw::EndsEarly, "a_large_directory_is_listed_whole"),
    (Flaw::PlainHidesLast, "a_listing_agrees_with_stat"),
    (Flaw::DotsMissing, "a_new_directory_is_empty"),
    (Flaw::SetattrAnswersOld, "chmod_sets_all_twelve_bits"),
    (Flaw::ErrorsAreIo, "a_missing_name_is_not_found"),
    (Flaw::OverwritesExisting, "mkdir_fails_if_the_name_exists"),
    (Flaw::MisplacesWrites, "an_overwrite_changes_only_its_range"),
    (Flaw::NormalisesTargets, "a_symlink_says_what_it_was_given"),
    (
        Flaw::RenameCopies,
        "a_renamed_file_is_under_its_new_key_only",
    ),
    (
        Flaw::RenameOntoItselfRemoves,
        "a_rename_onto_itself_changes_nothing",
    ),
    (Flaw::ExchangeReplaces, "exchange_is_exact_or_refused"),
    (Flaw::UnlinkLeaves, "a_removed_file_is_gone_from_the_bucket"),
    (Flaw::MangledKeys, "names_are_keys_as_they_are"),
    (Flaw::BoundlessStatfs, "statfs_tells_room_and_limits"),
    (
        Flaw::ForgetsContentAtRemount,
        "what_was_closed_survives_mounting_again",
    ),
];

fn law(name: &str) -> Law<ModelWorld> {
    suite::laws()
        .into_iter()
        .find(|law| law.name == name)
        .expect(name)
}

/// Whether the law holds on a model with that flaw.
fn holds(name: &str, flaw: Flaw) -> bool {
    let law = law(name);
    let make = || async {
        let world = ModelWorld::new(Settings {
            flaw: Some(flaw),
            ..Settings::default()
        });
        // An operation that is interrupted must not hide what the flaw does.
        let interrupt = match flaw {
            Flaw::AppliesBeforeReady => Interrupt::Always,
            _ => Interrupt::Never,
        };
        world.with_options(Options {
            interrupt,
            ..Options::default()
        })
    };
    catch_unwind(AssertUnwindSafe(|| suite::run(make, law.name, law.check))).is_ok()
}

#[test]
fn each_flaw_is_found_by_its_law() {
    let blind: Vec<_> = FOUND_BY
        .iter()
        .filter(|(flaw, name)| holds(name, *flaw))
        .collect();
    assert!(
        blind.is_empty(),
        "these laws do not tell the flaw: {blind:?}"
    );
}

#[test]
fn no_flaw_is_left_out() {
    for flaw in Flaw::ALL {
        assert!(
            FOUND_BY.iter().any(|(found, _)| *found == flaw),
            "{flaw:?} has a law"
        );
    }
}

#[test]
fn a_yielding_model_keeps_its_laws_when_always_interrupted() {
    for law in suite::laws::<ModelWorld>() {
        let make = || async {
            let settings = Settings {
                pace: Pace::Yielding,
                ..Settings::default()
            };
            let options = Options {
                interrupt: Interrupt::Always,
                ..Options::default()
            };
            ModelWorld::new(settings).with_options(options)
        };
        suite::run(make, law.name, law.check);
    }
}

/// Flaws that break nearly every law, and so say nothing of any.
const COARSE: [Flaw; 4] = [
    Flaw::HalfWrite,
    Flaw::AppliesBeforeReady,
    Flaw::KindChanges,
    Flaw::NameWithoutLinks,
];

#[test]
fn every_law_can_fail() {
    let mut never = Vec::new();
    for law in suite::laws::<ModelWorld>() {
        let fine = Flaw::ALL.into_iter().filter(|flaw| !COARSE.contains(flaw));
        let broken = fine.into_iter().any(|flaw| !holds(law.name, flaw));
        let skipped = ModelWorld::default().unsupported().contains(&law.name);
        if !broken && !skipped {
            never.push(law.name);
        }
    }
    assert!(never.is_empty(), "no flaw breaks these laws: {never:?}");
}
