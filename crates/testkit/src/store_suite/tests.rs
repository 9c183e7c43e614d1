//! The suite itself: it holds for a store that is right, and notices one that is wrong.

use std::collections::{BTreeMap, HashSet};
use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use cloudmount_store::{
    Capabilities, CopyOptions, CopySource, GetOptions, GetResult, Key, ListPage, ListRequest,
    MemoryStore, ObjectMeta, PartTag, Payload, Precondition, PutOptions, Removal, Result, Store,
    Tags, UploadId, UploadsPage, Version,
};
use cloudmount_vfs::{SystemClock, Timestamp};

use super::{Bed, Outcome, all};

fn memory() -> Arc<MemoryStore> {
    Arc::new(MemoryStore::new(Arc::new(SystemClock::new())))
}

/// Ways to be wrong, each of which some backend has been.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Wrong {
    IgnoresAbsent,
    IgnoresMatches,
    IgnoresIfMatchOfReads,
    DropsSlashes,
    ResolvesDots,
    FoldsCase,
    TrimsMarkers,
    ForgetsMetadata,
    CutsNoRange,
    ListsByPart,
    LosesTheLastOfAPage,
    StopsAfterOnePage,
    DeletesPrefixes,
    IgnoresPartOrder,
    AddsToTheOldMetadata,
    StartsAtRatherThanAfter,
    HidesUploads,
    ForgetsTags,
    DropsUnreadTags,
    RemovesAnyVersion,
}

impl Wrong {
    /// Each with laws that must notice it.
    const ALL: [(Self, &[&str]); 20] = [
        (
            Self::IgnoresAbsent,
            &[
                "absent_creates_and_never_replaces",
                "one_of_many_creators_wins",
            ],
        ),
        (
            Self::IgnoresMatches,
            &[
                "matches_replaces_only_that_version",
                "matches_needs_an_object",
            ],
        ),
        (
            Self::IgnoresIfMatchOfReads,
            &["a_read_can_insist_on_a_version"],
        ),
        (
            Self::DropsSlashes,
            &[
                "hard_keys_open_to_their_own_bytes",
                "random_operations_give_what_a_map_gives",
            ],
        ),
        (Self::ResolvesDots, &["hard_keys_open_to_their_own_bytes"]),
        (Self::FoldsCase, &["names_that_differ_little_are_different"]),
        (
            Self::TrimsMarkers,
            &["a_marker_is_an_object", "hard_keys_are_listed_once_flat"],
        ),
        (
            Self::ForgetsMetadata,
            &["everything_given_comes_back", "a_marker_keeps_metadata"],
        ),
        (Self::CutsNoRange, &["every_range_of_a_small_object"]),
        (Self::ListsByPart, &["keys_come_once_and_in_byte_order"]),
        (
            Self::LosesTheLastOfAPage,
            &["every_page_size_gives_the_same"],
        ),
        (
            Self::StopsAfterOnePage,
            &[
                "more_than_one_full_page",
                "hard_keys_are_listed_once_by_folder",
            ],
        ),
        (
            Self::DeletesPrefixes,
            &[
                "deleting_nothing_succeeds",
                "random_operations_give_what_a_map_gives",
                "hard_keys_are_deleted_one_by_one",
            ],
        ),
        (
            Self::IgnoresPartOrder,
            &["a_wrong_list_of_parts_is_refused"],
        ),
        (
            Self::AddsToTheOldMetadata,
            &["a_rewrite_forgets_the_old_metadata"],
        ),
        (Self::StartsAtRatherThanAfter, &["start_after_skips"]),
        (Self::HidesUploads, &["uploads_in_progress_are_listed"]),
        (
            Self::ForgetsTags,
            &[
                "tags_are_counted_and_read",
                "uploads_in_parts_keep_the_tags_they_were_begun_with",
                "a_copy_has_the_tags_of_its_source",
            ],
        ),
        (
            Self::DropsUnreadTags,
            &["tags_that_would_be_lost_are_refused"],
        ),
        (
            Self::RemovesAnyVersion,
            &[
                "a_removal_can_insist_on_its_version",
                "many_removals_insist_each_on_its_own",
                "a_removal_and_a_write_do_not_both_win",
            ],
        ),
    ];
}

#[derive(Debug)]
struct WrongStore {
    inner: Arc<MemoryStore>,
    wrong: Wrong,
}

impl WrongStore {
    fn key(&self, key: &Key) -> Key {
        let text = key.as_str();
        let changed = match self.wrong {
            Wrong::DropsSlashes => text.replace("//", "/"),
            Wrong::ResolvesDots => text.replace("/./", "/"),
            Wrong::FoldsCase => text.to_lowercase(),
            Wrong::TrimsMarkers if text.len() > 1 => text.trim_end_matches('/').to_owned(),
            _ => return key.clone(),
        };
        Key::new(changed).unwrap_or_else(|_| key.clone())
    }

    fn tags(&self, tags: &mut Tags) {
        let unread = matches!(tags, Tags::Unread(_));
        if self.wrong == Wrong::ForgetsTags || self.wrong == Wrong::DropsUnreadTags && unread {
            *tags = Tags::None;
        }
    }

    fn precondition(&self, precondition: Precondition) -> Precondition {
        match (self.wrong, precondition) {
            (Wrong::IgnoresAbsent, Precondition::Absent)
            | (Wrong::IgnoresMatches, Precondition::Matches(_)) => Precondition::None,
            (_, precondition) => precondition,
        }
    }
}

#[async_trait]
impl Store for WrongStore {
    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    fn time(&self) -> Option<Timestamp> {
        self.inner.time()
    }

    fn pushbacks(&self) -> u64 {
        self.inner.pushbacks()
    }

    fn reconnect(&self) {
        self.inner.reconnect();
    }

    async fn head(&self, key: &Key) -> Result<ObjectMeta> {
        self.inner.head(&self.key(key)).await
    }

    async fn get(&self, key: &Key, mut options: GetOptions) -> Result<GetResult> {
        if self.wrong == Wrong::IgnoresIfMatchOfReads {
            options.if_match = None;
        }
        if self.wrong == Wrong::CutsNoRange {
            options.range = None;
        }
        self.inner.get(&self.key(key), options).await
    }

    async fn list(&self, mut request: ListRequest) -> Result<ListPage> {
        if self.wrong == Wrong::StartsAtRatherThanAfter
            && let Some(after) = &mut request.start_after
        {
            after.pop();
        }
        let mut page = self.inner.list(request).await?;
        match self.wrong {
            Wrong::ListsByPart => {
                let parts = |key: &Key| -> Vec<String> {
                    key.as_str().split('/').map(str::to_owned).collect()
                };
                page.objects.sort_by_key(|object| parts(&object.key));
            }
            Wrong::LosesTheLastOfAPage if page.next.is_some() => {
                page.objects.pop();
            }
            Wrong::StopsAfterOnePage => page.next = None,
            _ => {}
        }
        Ok(page)
    }

    async fn put(&self, key: &Key, payload: Payload, mut options: PutOptions) -> Result<Version> {
        let key = self.key(key);
        if self.wrong == Wrong::ForgetsMetadata {
            options.metadata.user.clear();
        }
        if self.wrong == Wrong::AddsToTheOldMetadata
            && let Ok(old) = self.inner.head(&key).await
        {
            let old = old.metadata.user.into_iter();
            options.metadata.user = old.chain(options.metadata.user).collect();
        }
        self.tags(&mut options.metadata.tags);
        options.precondition = self.precondition(options.precondition);
        self.inner.put(&key, payload, options).await
    }

    async fn copy(&self, source: CopySource, to: &Key, options: CopyOptions) -> Result<Version> {
        self.inner.copy(source, &self.key(to), options).await
    }

    async fn delete(&self, keys: &[Key]) -> Result<Vec<Result<()>>> {
        let mut gone: Vec<Key> = keys.iter().map(|key| self.key(key)).collect();
        if self.wrong == Wrong::DeletesPrefixes {
            let below = |key: &Key| {
                keys.iter()
                    .any(|asked| key.as_str().starts_with(asked.as_str()))
            };
            gone.extend(self.inner.keys().into_iter().filter(below));
        }
        let answers = keys.iter().map(|_| Ok(())).collect();
        for some in gone.chunks(1000) {
            self.inner.delete(some).await?;
        }
        Ok(answers)
    }

    async fn delete_if(&self, removals: &[Removal]) -> Result<Vec<Result<()>>> {
        let removals: Vec<Removal> = (removals.iter())
            .map(|removal| Removal {
                key: self.key(&removal.key),
                ..removal.clone()
            })
            .collect();
        if self.wrong == Wrong::RemovesAnyVersion {
            let keys: Vec<Key> = removals.into_iter().map(|removal| removal.key).collect();
            return self.inner.delete(&keys).await;
        }
        self.inner.delete_if(&removals).await
    }

    async fn multipart_start(&self, key: &Key, options: &PutOptions) -> Result<UploadId> {
        let mut options = options.clone();
        self.tags(&mut options.metadata.tags);
        (self.inner).multipart_start(&self.key(key), &options).await
    }

    async fn multipart_put(
        &self,
        key: &Key,
        upload: &UploadId,
        number: u16,
        payload: Payload,
    ) -> Result<PartTag> {
        (self.inner)
            .multipart_put(&self.key(key), upload, number, payload)
            .await
    }

    async fn multipart_copy(
        &self,
        key: &Key,
        upload: &UploadId,
        number: u16,
        source: CopySource,
        range: Range<u64>,
    ) -> Result<PartTag> {
        (self.inner)
            .multipart_copy(&self.key(key), upload, number, source, range)
            .await
    }

    async fn multipart_complete(
        &self,
        key: &Key,
        upload: &UploadId,
        parts: &[PartTag],
        precondition: Precondition,
    ) -> Result<Version> {
        let mut parts = parts.to_vec();
        if self.wrong == Wrong::IgnoresPartOrder {
            parts.sort_by_key(|part| part.number);
        }
        let precondition = self.precondition(precondition);
        (self.inner)
            .multipart_complete(&self.key(key), upload, &parts, precondition)
            .await
    }

    async fn multipart_abort(&self, key: &Key, upload: &UploadId) -> Result<()> {
        self.inner.multipart_abort(&self.key(key), upload).await
    }

    async fn multipart_list(&self, prefix: &str, token: Option<String>) -> Result<UploadsPage> {
        match self.wrong {
            Wrong::HidesUploads => Ok(UploadsPage::default()),
            _ => self.inner.multipart_list(prefix, token).await,
        }
    }

    async fn tags(&self, key: &Key) -> Result<BTreeMap<String, String>> {
        self.inner.tags(&self.key(key)).await
    }
}

#[tokio::test]
async fn the_right_store_holds_every_law_and_is_clean_afterwards() {
    let store = memory();
    let bed = Bed::new(store.clone()).below("run-1/");
    for law in all() {
        let outcome = bed.run(law).await;
        let skipped = law.name == "what_cannot_be_checked_is_refused";
        let expected = match skipped {
            true => matches!(outcome, Ok(Outcome::Skipped(_))),
            false => matches!(outcome, Ok(Outcome::Held)),
        };
        assert!(expected, "{}::{}: {outcome:?}", law.theme, law.name);
        assert!(store.is_empty(), "{}::{} leaves keys", law.theme, law.name);
    }
}

#[tokio::test]
async fn every_wrong_store_is_found_out() {
    for (wrong, laws) in Wrong::ALL {
        for name in laws {
            let law = all().into_iter().find(|law| law.name == *name).unwrap();
            let inner = memory();
            let bed = Bed::new(Arc::new(WrongStore { inner, wrong }));
            let outcome = bed.run(law).await;
            assert!(
                outcome.is_err(),
                "{name} does not notice a store that {wrong:?}"
            );
        }
    }
}

#[test]
fn names_of_laws_are_unique() {
    let laws = all();
    let names: HashSet<_> = laws.iter().map(|law| law.name).collect();
    assert_eq!(names.len(), laws.len());
}
