//! What is tried again, how often, and what that leaves open.

use std::ops::Range;

use cloudmount_store::{
    Capabilities, CopyOptions, CopySource, GetResult, ListPage, ObjectMeta, PartTag, Result,
    UploadId, Version,
};

use super::*;

#[tokio::test]
async fn a_passing_error_passes() {
    let kinds = [
        ErrorKind::Throttled,
        ErrorKind::Server,
        ErrorKind::Connection,
        ErrorKind::TimedOut,
    ];
    for kind in kinds {
        let line = Line::new([FaultRule::new(Effect::Fail(kind)).calls(1..=3)]);
        line.retry.put(&A, payload("x"), absent()).await.unwrap();
        line.holds("a", "x").await;
        assert_eq!(line.clock.slept().len(), 3, "{kind}");
    }
}

#[tokio::test]
async fn tries_are_counted() {
    let line = Line::new([FaultRule::new(Effect::Fail(ErrorKind::Server))]);
    let error = line.retry.head(&A).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Server);
    assert_eq!(line.fault.injected(), 4);
}

#[tokio::test]
async fn a_lasting_error_is_not_tried_again() {
    let line = Line::new([FaultRule::new(Effect::Fail(ErrorKind::Forbidden))]);
    let error = line.retry.head(&A).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Forbidden);
    assert_eq!(line.fault.injected(), 1);
}

#[tokio::test]
async fn the_server_says_how_long_to_wait() {
    let asked = Duration::from_secs(17);
    let line = Line::new([FaultRule::new(Effect::Throttle(asked)).nth(1)]);
    line.retry.list(ListRequest::default()).await.unwrap();
    assert_eq!(line.clock.slept(), [asked]);
}

#[tokio::test]
async fn what_says_that_the_store_is_too_busy_is_counted() {
    let line = Line::new([
        FaultRule::new(Effect::Fail(ErrorKind::Throttled)).nth(1),
        FaultRule::new(Effect::Fail(ErrorKind::TimedOut)).nth(2),
        FaultRule::new(Effect::Fail(ErrorKind::Server)).nth(3),
        FaultRule::new(Effect::Throttle(Duration::from_secs(1))).nth(4),
        FaultRule::new(Effect::Fail(ErrorKind::Forbidden)).nth(5),
    ]);
    assert_eq!(line.retry.pushbacks(), 0);
    line.retry.head(&A).await.unwrap_err();
    assert_eq!(line.retry.pushbacks(), 3, "of four tries");
    line.retry.head(&A).await.unwrap_err();
    assert_eq!(line.retry.pushbacks(), 3);
    // Layers above tell it on.
    let (clock, settings) = (line.clock.clone(), RetrySettings::default());
    let above = Retry::new(Arc::new(line.retry), settings, clock);
    let limit = Limit::new(Arc::new(above), LimitSettings::default());
    let prefix = Prefix::new(Arc::new(limit), "p/").unwrap();
    assert_eq!(prefix.pushbacks(), 3);
}

#[tokio::test]
async fn a_wait_beyond_the_total_is_not_begun() {
    let asked = Duration::from_secs(61);
    let line = Line::new([FaultRule::new(Effect::Throttle(asked)).nth(1)]);
    let error = line.retry.list(ListRequest::default()).await.unwrap_err();
    assert_eq!(error.retry_after(), Some(asked));
    assert!(line.clock.slept().is_empty());
}

#[tokio::test]
async fn a_lost_reply_leaves_a_mark_on_the_precondition() {
    let line = Line::new([FaultRule::new(Effect::LoseReply).on(Operation::Put).nth(1)]);
    let result = line.retry.put(&A, payload("x"), absent()).await;
    let error = result.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Precondition);
    assert!(OutcomeUnknown::is_in(&error), "{error:?}");
    line.holds("a", "x").await;
}

#[tokio::test]
async fn a_plain_precondition_bears_no_mark() {
    let line = Line::new([FaultRule::new(Effect::Fail(ErrorKind::Throttled)).nth(2)]);
    let put = || line.retry.put(&A, payload("x"), absent());
    put().await.unwrap();
    let error = put().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Precondition);
    assert!(!OutcomeUnknown::is_in(&error), "{error:?}");
}

#[tokio::test]
async fn an_unknown_outcome_outlives_later_refusals() {
    let line = Line::new([
        FaultRule::new(Effect::LoseReply).nth(1),
        FaultRule::new(Effect::Fail(ErrorKind::Throttled)).calls(2..=9),
    ]);
    let result = line.retry.put(&A, payload("x"), absent()).await;
    let error = result.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Throttled);
    assert!(OutcomeUnknown::is_in(&error), "{error:?}");
}

#[tokio::test]
async fn a_completion_whose_reply_was_lost_is_unknown_rather_than_missing() {
    let lost = FaultRule::new(Effect::LoseReply).on(Operation::MultipartComplete);
    let line = Line::new([lost.nth(1)]);
    let upload = line.retry.multipart_start(&A, &absent()).await.unwrap();
    let part = line.retry.multipart_put(&A, &upload, 1, payload("x")).await;
    let parts = [part.unwrap()];
    let complete = line
        .retry
        .multipart_complete(&A, &upload, &parts, Precondition::None);
    let error = complete.await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut);
    assert!(OutcomeUnknown::is_in(&error));
    line.holds("a", "x").await;
    let again = line
        .retry
        .multipart_complete(&A, &upload, &parts, Precondition::None);
    assert_eq!(again.await.unwrap_err().kind(), ErrorKind::NotFound);
}

#[tokio::test]
async fn a_start_whose_reply_was_lost_is_told_at_once() {
    let line = Line::new([
        FaultRule::new(Effect::Fail(ErrorKind::Throttled)).nth(1),
        FaultRule::new(Effect::LoseReply).nth(2),
    ]);
    let error = line.retry.multipart_start(&A, &absent()).await;
    assert_eq!(error.unwrap_err().kind(), ErrorKind::TimedOut);
    assert_eq!(line.memory.uploads_in_progress(), 1);
}

#[tokio::test]
async fn a_broken_body_goes_on_where_it_stopped() {
    let line = Line::new([FaultRule::new(Effect::Truncate(3)).calls(1..=3)]);
    let put = (line.memory).put(&A, payload("0123456789"), PutOptions::default());
    put.await.unwrap();
    let found = line.retry.get_bytes(&A, GetOptions::default());
    assert_eq!(found.await.unwrap(), "0123456789");
    assert_eq!(line.fault.injected(), 3);
    line.fault.set_plan(FaultPlan::script([
        FaultRule::new(Effect::Truncate(2)).nth(1)
    ]));
    let range = GetOptions {
        range: Some(4..9),
        ..GetOptions::default()
    };
    let found = line.retry.get_bytes(&A, range);
    assert_eq!(found.await.unwrap(), "45678");
}

#[tokio::test]
async fn progress_renews_the_tries() {
    // Ten breaks with a byte between them, of four tries each.
    let line = Line::new([FaultRule::new(Effect::Truncate(1)).calls(1..=9)]);
    let put = (line.memory).put(&A, payload("0123456789"), PutOptions::default());
    put.await.unwrap();
    let found = line.retry.get_bytes(&A, GetOptions::default());
    assert_eq!(found.await.unwrap(), "0123456789");
}

#[tokio::test]
async fn no_progress_gives_up() {
    let line = Line::new([FaultRule::new(Effect::Truncate(0))]);
    let put = (line.memory).put(&A, payload("0123456789"), PutOptions::default());
    put.await.unwrap();
    let error = (line.retry.get_bytes(&A, GetOptions::default()).await).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Connection);
    assert_eq!(line.fault.injected(), 4);
}

#[tokio::test]
async fn a_body_whose_object_changed_is_not_mixed() {
    let line = Line::new([FaultRule::new(Effect::Truncate(3)).nth(1)]);
    let put = |text| (line.memory).put(&A, payload(text), PutOptions::default());
    put("0123456789").await.unwrap();
    let result = line.retry.get(&A, GetOptions::default()).await;
    let mut body = result.unwrap().body;
    assert_eq!(body.next().await.unwrap().unwrap(), "012");
    put("abcdefghij").await.unwrap();
    let error = body.next().await.unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Precondition);
    assert!(body.next().await.is_none());
}

#[tokio::test]
async fn only_the_keys_that_failed_are_deleted_again() {
    let (clock, store) = (clock(), Arc::new(HalfDelete::new(memory())));
    let retry = Retry::new(store.clone(), RetrySettings::default(), clock.clone());
    let keys: Vec<Key> = ["a", "b", "c", "d"].map(key).to_vec();
    for answer in retry.delete(&keys).await.unwrap() {
        answer.unwrap();
    }
    assert_eq!(*store.asked.lock(), [4, 2, 1]);
    assert_eq!(clock.slept().len(), 2);
}

#[tokio::test]
async fn keys_that_fail_for_good_are_told_one_by_one() {
    let store = Arc::new(HalfDelete::new(memory()));
    let settings = RetrySettings {
        tries: 2,
        ..RetrySettings::default()
    };
    let retry = Retry::new(store, settings, clock());
    let keys: Vec<Key> = ["a", "b", "c", "d"].map(key).to_vec();
    let answers = retry.delete(&keys).await.unwrap();
    let failed: Vec<bool> = answers.iter().map(Result::is_err).collect();
    assert_eq!(failed, [false, false, false, true]);
}

/// Deletes the first half of what it is asked, and is throttled for the rest.
#[derive(Debug)]
struct HalfDelete {
    inner: Arc<MemoryStore>,
    asked: Mutex<Vec<usize>>,
}

impl HalfDelete {
    fn new(inner: Arc<MemoryStore>) -> Self {
        let asked = Mutex::default();
        Self { inner, asked }
    }
}

#[async_trait::async_trait]
impl Store for HalfDelete {
    async fn delete(&self, keys: &[Key]) -> Result<Vec<Result<()>>> {
        self.asked.lock().push(keys.len());
        let half = keys.len().div_ceil(2);
        let mut answers = self.inner.delete(&keys[..half]).await?;
        let throttled = || Err(Error::new(ErrorKind::Throttled, "delete"));
        answers.extend(keys[half..].iter().map(|_| throttled()));
        Ok(answers)
    }

    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    async fn head(&self, key: &Key) -> Result<ObjectMeta> {
        self.inner.head(key).await
    }

    async fn get(&self, key: &Key, options: GetOptions) -> Result<GetResult> {
        self.inner.get(key, options).await
    }

    async fn list(&self, request: ListRequest) -> Result<ListPage> {
        self.inner.list(request).await
    }

    async fn put(&self, key: &Key, payload: Payload, options: PutOptions) -> Result<Version> {
        self.inner.put(key, payload, options).await
    }

    async fn copy(&self, from: CopySource, to: &Key, options: CopyOptions) -> Result<Version> {
        self.inner.copy(from, to, options).await
    }

    async fn multipart_start(&self, key: &Key, options: &PutOptions) -> Result<UploadId> {
        self.inner.multipart_start(key, options).await
    }

    async fn multipart_put(
        &self,
        key: &Key,
        upload: &UploadId,
        number: u16,
        payload: Payload,
    ) -> Result<PartTag> {
        (self.inner)
            .multipart_put(key, upload, number, payload)
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
            .multipart_copy(key, upload, number, source, range)
            .await
    }

    async fn multipart_complete(
        &self,
        key: &Key,
        upload: &UploadId,
        parts: &[PartTag],
        precondition: Precondition,
    ) -> Result<Version> {
        (self.inner)
            .multipart_complete(key, upload, parts, precondition)
            .await
    }

    async fn multipart_abort(&self, key: &Key, upload: &UploadId) -> Result<()> {
        self.inner.multipart_abort(key, upload).await
    }
}
