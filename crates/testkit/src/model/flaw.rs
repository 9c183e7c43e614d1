//! [`Flaw`]: mistakes that the model can be told to make, so that each check is seen failing.

/// One mistake, of a kind that filesystems really make.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum Flaw {
    /// Every second lookup of a name says that it is of another kind.
    KindChanges,
    /// `getattr` answers with the number of the directory above.
    WrongNumber,
    /// `open` gives a handle that is open already, if there is one.
    SharedHandle,
    /// `readdirplus` counts a lookup for an entry that the sink did not take.
    CountsRefused,
    /// `readdirplus` counts no lookup for an entry that it gives without attributes.
    ForgetsBare,
    /// A scan that goes on repeats the entry before.
    RepeatsEntry,
    /// A scan that goes on leaves one entry out.
    LosesEntry,
    /// `read` gives a byte more than asked for, where there is one.
    LongRead,
    /// `read` gives half of what it could.
    ShortRead,
    /// `write` takes half and says so.
    HalfWrite,
    /// A change made outside is not told, and `open` says that the cache is good.
    KeepsStalePages,
    /// Operations take effect first and wait then, so that a repetition meets its own effect.
    AppliesBeforeReady,
    /// Appending writes go where the caller says.
    AppendsAtOffset,
    /// Bytes that were cut off come back when the file grows again.
    TruncateLeavesTail,
    /// `O_TRUNC` does nothing.
    IgnoresTruncate,
    /// A rename to an existing name is allowed whatever the mode.
    IgnoresNoReplace,
    /// A renamed file gets a new number.
    RenameRenumbers,
    /// A full directory can be removed.
    RmdirIgnoresEntries,
    /// A folder whose last entry was removed vanishes.
    FoldersVanish,
    /// The content goes when the last name goes, open or not.
    UnlinkDropsContent,
    /// Permissions are set and forgotten.
    ForgetsMode,
    /// Times have whole seconds.
    ForgetsNanoseconds,
    /// A directory's times do not change with its entries.
    FrozenParent,
    /// New entries ignore the set-group-id bit of their directory.
    IgnoresSetgid,
    /// A reader whose file was replaced outside gets the new bytes through the old handle.
    MixesVersions,
    /// Calls with a handle that was released are refused.
    RefusesReleased,
    /// Extended attributes are accepted and dropped.
    DropsXattrs,
    /// Attributes are lost when the filesystem is mounted again.
    ForgetsAttributesAtRemount,
    /// Names are compared without regard to case.
    FoldsCase,
    /// Every second lookup of a name gives another generation.
    GenerationChanges,
    /// Lookups answer as if no name led to the inode.
    NameWithoutLinks,
    /// `readdirplus` goes on offering entries to a sink that is full.
    OffersAfterFull,
    /// A scan ends after three entries though the sink has room.
    EndsEarly,
    /// `readdir` leaves the last entry out, `readdirplus` shows it.
    PlainHidesLast,
    /// Directories do not show `.` and `..`.
    DotsMissing,
    /// `setattr` answers with the attributes from before.
    SetattrAnswersOld,
    /// Every error is `Io`.
    ErrorsAreIo,
    /// What is created replaces what is there.
    OverwritesExisting,
    /// A write that does not begin at 0 lands one byte further.
    MisplacesWrites,
    /// Targets of symlinks lose doubled and trailing slashes.
    NormalisesTargets,
    /// The old name of a renamed file stays.
    RenameCopies,
    /// A rename of a name to itself removes it.
    RenameOntoItselfRemoves,
    /// An exchange is done as a plain rename.
    ExchangeReplaces,
    /// `unlink` says that it did, and does not.
    UnlinkLeaves,
    /// Spaces in names become `+` in keys.
    MangledKeys,
    /// More is free than there is.
    BoundlessStatfs,
    /// Contents are lost when the filesystem is mounted again.
    ForgetsContentAtRemount,
}

impl Flaw {
    /// Every flaw.
    pub const ALL: [Self; 47] = [
        Self::KindChanges,
        Self::WrongNumber,
        Self::SharedHandle,
        Self::CountsRefused,
        Self::ForgetsBare,
        Self::RepeatsEntry,
        Self::LosesEntry,
        Self::LongRead,
        Self::ShortRead,
        Self::HalfWrite,
        Self::KeepsStalePages,
        Self::AppliesBeforeReady,
        Self::AppendsAtOffset,
        Self::TruncateLeavesTail,
        Self::IgnoresTruncate,
        Self::IgnoresNoReplace,
        Self::RenameRenumbers,
        Self::RmdirIgnoresEntries,
        Self::FoldersVanish,
        Self::UnlinkDropsContent,
        Self::ForgetsMode,
        Self::ForgetsNanoseconds,
        Self::FrozenParent,
        Self::IgnoresSetgid,
        Self::MixesVersions,
        Self::RefusesReleased,
        Self::DropsXattrs,
        Self::ForgetsAttributesAtRemount,
        Self::FoldsCase,
        Self::GenerationChanges,
        Self::NameWithoutLinks,
        Self::OffersAfterFull,
        Self::EndsEarly,
        Self::PlainHidesLast,
        Self::DotsMissing,
        Self::SetattrAnswersOld,
        Self::ErrorsAreIo,
        Self::OverwritesExisting,
        Self::MisplacesWrites,
        Self::NormalisesTargets,
        Self::RenameCopies,
        Self::RenameOntoItselfRemoves,
        Self::ExchangeReplaces,
        Self::UnlinkLeaves,
        Self::MangledKeys,
        Self::BoundlessStatfs,
        Self::ForgetsContentAtRemount,
    ];
}
