//! Notifications of buckets, as servers post them.
//!
//! | who | form |
//! |---|---|
//! | Amazon S3 | `{"Records": [{"eventName": "ObjectCreated:Put", "s3": {"bucket": …, "object": {"key": …, "eTag": …}}}]}` |
//! | through Amazon SNS | `{"Type": "Notification", "Message": "…"}`, the message being the above as text |
//! | `MinIO` | `{"EventName": …, "Key": …, "Records": […]}`, event names with `s3:` before them |
//! | Ceph RGW | `{"Records": […]}` |
//!
//! Keys are URL-encoded as forms are, a blank as `+` (Amazon S3 User Guide, "Event message structure"; MinIO does the
//! same). Ceph has sent them as they are: of senders other than these two, both readings count.

use std::fmt;

use percent_encoding::percent_decode_str;
use serde_json::Value;

use super::News;

/// Which notifications concern a mount.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Notices {
    /// The bucket; `None` takes those of any.
    pub bucket: Option<String>,
    /// What keys of the mount begin with in the bucket: empty, or ending in a slash.
    pub prefix: String,
}

/// Text that is no notification.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Malformed(&'static str);

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for Malformed {}

impl Notices {
    /// What a body says that was posted. What concerns other buckets and prefixes is left out, and so are tests of the
    /// way itself.
    ///
    /// # Errors
    /// It is no notification.
    pub fn read(&self, body: &[u8]) -> Result<Vec<News>, Malformed> {
        let value: Value = serde_json::from_slice(body).map_err(|_| Malformed("no JSON"))?;
        if let Some(message) = value.get("Message").and_then(Value::as_str) {
            let inner =
                serde_json::from_str(message).map_err(|_| Malformed("a message without JSON"))?;
            return self.records(&inner);
        }
        self.records(&value)
    }

    fn records(&self, value: &Value) -> Result<Vec<News>, Malformed> {
        // What Amazon sends when notifications are switched on.
        if value.get("Event").and_then(Value::as_str) == Some("s3:TestEvent") {
            return Ok(Vec::new());
        }
        let records = value.get("Records").and_then(Value::as_array);
        let records = records.ok_or(Malformed("no records"))?;
        let mut news = Vec::with_capacity(records.len());
        for record in records {
            self.record(record, &mut news)?;
        }
        Ok(news)
    }

    fn record(&self, record: &Value, news: &mut Vec<News>) -> Result<(), Malformed> {
        let text = |path: &str| record.pointer(path).and_then(Value::as_str);
        let event = text("/eventName").ok_or(Malformed("a record without an event"))?;
        let event = event.strip_prefix("s3:").unwrap_or(event);
        let bucket = text("/s3/bucket/name").ok_or(Malformed("a record without a bucket"))?;
        let raw = text("/s3/object/key").ok_or(Malformed("a record without a key"))?;
        if self.bucket.as_deref().is_some_and(|known| known != bucket) {
            return Ok(());
        }
        let decoded = decoded(raw).ok_or(Malformed("a key that is no text"))?;
        let encodes = matches!(text("/eventSource"), Some("aws:s3" | "minio:s3"));
        let other = (!encodes && decoded != raw).then(|| raw.to_owned());
        let is_gone = ["ObjectRemoved", "LifecycleExpiration"]
            .iter()
            .any(|kind| event.starts_with(kind));
        // Of anything else than a new content, as new tags, the ETag says nothing.
        let tag = text("/s3/object/eTag").filter(|_| event.starts_with("ObjectCreated"));
        for key in [Some(decoded), other].into_iter().flatten() {
            let Some(key) = key.strip_prefix(&self.prefix).filter(|key| !key.is_empty()) else {
                continue;
            };
            let key = key.to_owned();
            news.push(if is_gone {
                News::Gone { key }
            } else {
                let tag = tag.map(str::to_owned);
                News::Put { key, tag }
            });
        }
        Ok(())
    }
}

fn decoded(key: &str) -> Option<String> {
    let spaced = key.replace('+', " ");
    let decoded = percent_decode_str(&spaced).decode_utf8().ok()?;
    Some(decoded.into_owned())
}

#[cfg(test)]
mod tests {
    use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn notices() -> Notices {
        Notices {
            bucket: Some("pail".into()),
            prefix: "data/".into(),
        }
    }

    fn record(source: &str, event: &str, bucket: &str, key: &str) -> Value {
        json!({
            "eventVersion": "2.1", "eventSource": source, "awsRegion": "eu-central-1",
            "eventTime": "2024-05-01T12:00:00.000Z", "eventName": event,
            "s3": {
                "s3SchemaVersion": "1.0", "configurationId": "c",
                "bucket": {"name": bucket, "arn": format!("arn:aws:s3:::{bucket}")},
                "object": {"key": key, "size": 3, "eTag": "d41d", "sequencer": "00"},
            },
        })
    }

    fn read(value: &Value) -> Vec<News> {
        notices().read(value.to_string().as_bytes()).unwrap()
    }

    fn put(key: &str, tag: Option<&str>) -> News {
        News::Put {
            key: key.into(),
            tag: tag.map(str::to_owned),
        }
    }

    #[test]
    fn notifications_of_all_senders_are_understood() {
        let created = record("aws:s3", "ObjectCreated:Put", "pail", "data/a+b/%C3%A9%2B");
        let all = [put("a b/é+", Some("d41d"))];
        assert_eq!(read(&json!({"Records": [created]})), all);
        let message = json!({"Records": [created]}).to_string();
        let sns = json!({"Type": "Notification", "TopicArn": "t", "Message": message});
        assert_eq!(read(&sns), all);
        let created = record(
            "minio:s3",
            "s3:ObjectCreated:Put",
            "pail",
            "data%2Fa+b%2F%C3%A9%2B",
        );
        let minio = json!({
            "EventName": "s3:ObjectCreated:Put", "Key": "pail/data/a b/é+", "Records": [created],
        });
        assert_eq!(read(&minio), all);
        let ceph = record("ceph:s3", "ObjectCreated:Put", "pail", "data/a+b");
        let both = [put("a b", Some("d41d")), put("a+b", Some("d41d"))];
        assert_eq!(read(&json!({"Records": [ceph]})), both);
    }

    #[test]
    fn events_are_puts_and_removals_and_others_are_looked_at() {
        for (event, news) in [
            ("ObjectRemoved:Delete", News::Gone { key: "a".into() }),
            (
                "s3:ObjectRemoved:DeleteMarkerCreated",
                News::Gone { key: "a".into() },
            ),
            ("LifecycleExpiration:Delete", News::Gone { key: "a".into() }),
            (
                "ObjectCreated:CompleteMultipartUpload",
                put("a", Some("d41d")),
            ),
            ("ObjectTagging:Put", put("a", None)),
            ("ObjectRestore:Completed", put("a", None)),
        ] {
            let record = record("aws:s3", event, "pail", "data/a");
            assert_eq!(read(&json!({"Records": [record]})), [news], "{event}");
        }
    }

    #[test]
    fn what_concerns_others_is_left_out() {
        for (bucket, key) in [("other", "data/a"), ("pail", "else/a"), ("pail", "data/")] {
            let record = record("aws:s3", "ObjectCreated:Put", bucket, key);
            assert_eq!(read(&json!({"Records": [record]})), [], "{bucket} {key}");
        }
        let test = json!({"Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": "pail"});
        assert_eq!(read(&test), []);
    }

    #[test]
    fn what_is_no_notification_is_refused() {
        let no_text = record("aws:s3", "ObjectCreated:Put", "pail", "data/%FF");
        let no_text = json!({"Records": [no_text]}).to_string();
        let deep = "[".repeat(100_000);
        for text in [
            "",
            "{}",
            "null",
            "{\"Records\": 1}",
            "{\"Records\": [{}]}",
            "{\"Message\": \"\"}",
            &no_text,
            &deep,
        ] {
            assert!(notices().read(text.as_bytes()).is_err(), "{text:.80}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(body in prop::collection::vec(any::<u8>(), 0..200)) {
            drop(notices().read(&body));
        }

        #[test]
        fn any_json_is_read_or_refused(
            event in ".{0,12}", bucket in ".{0,6}", key in "[%+/a-z0-9\\x00-\\x7f]{0,24}", text in ".{0,8}",
        ) {
            let mut record = record("ceph:s3", &event, &bucket, &key);
            drop(Notices::default().read(json!({"Records": [record.clone()]}).to_string().as_bytes()));
            record["s3"]["object"] = json!(text);
            drop(Notices::default().read(json!({"Records": [record, text]}).to_string().as_bytes()));
        }

        #[test]
        fn any_key_comes_back(key in "\\PC{1,40}") {
            let encoded = utf8_percent_encode(&format!("data/{key}"), NON_ALPHANUMERIC).to_string();
            let record = record("aws:s3", "ObjectRemoved:Delete", "pail", &encoded);
            prop_assert_eq!(read(&json!({"Records": [record]})), [News::Gone { key }]);
        }
    }
}
