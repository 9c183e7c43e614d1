//! What a server says when it refuses, and which kind of error that is.
//!
//! Source: Amazon S3 API reference, "Error responses"; for who asks too much, "Retry behavior" of the AWS SDKs and
//! Tools Reference Guide; codes of other stores are named where they stand.

use std::time::Duration;

use http::StatusCode;

use super::xml;
use crate::ErrorKind;

/// How much of a server's own words goes into a message.
const MESSAGE_CHARS_MAX: usize = 300;

/// The parts of an `<Error>` document that are fit for a message. Others (`StringToSign`,
/// `SignatureProvided`, `AWSAccessKeyId`) are not read at all.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Refusal {
    /// `NoSuchKey` and the like; empty if the answer had no document.
    pub(super) code: String,
    pub(super) message: String,
    /// The region that the bucket is in, if the server says so.
    pub(super) region: Option<String>,
    /// The endpoint that it asks us to use.
    pub(super) endpoint: Option<String>,
}

impl Refusal {
    /// Reads an `<Error>` document; `None` if `body` is anything else.
    pub(super) fn parse(body: &[u8]) -> Option<Self> {
        // Most are large listings.
        if !xml::has_root(body, "Error") {
            return None;
        }
        let mut found = Self::default();
        let root = xml::walk(body, |element| {
            let text = || element.text.map(printable).filter(|t| !t.is_empty());
            match element.path {
                "Code" => found.code = text().unwrap_or_default(),
                "Message" => found.message = text().unwrap_or_default(),
                "Region" => found.region = text(),
                "Endpoint" => found.endpoint = text(),
                _ => {}
            }
        });
        root.is_ok().then_some(found)
    }

    /// Which reaction it calls for: by the code where that says more than the status. A status of
    /// success with an error inside (copy and complete do that) is read as a fault of the server.
    ///
    /// Several servers refuse with 403 who asks too much. Who is told how long to `wait` is not forbidden for good;
    /// an answer without a body, as that to `HEAD`, says it in no other way.
    pub(super) fn kind(&self, status: StatusCode, wait: Option<Duration>) -> ErrorKind {
        match by_code(&self.code).unwrap_or_else(|| by_status(status)) {
            ErrorKind::Forbidden if wait.is_some() => ErrorKind::Throttled,
            kind => kind,
        }
    }

    /// What the user can do about it, where the code says that.
    pub(super) fn advice(&self, asked_region: &str) -> Option<String> {
        let region = self.region.as_deref().filter(|r| *r != asked_region);
        match (self.code.as_str(), region, &self.endpoint) {
            (_, Some(region), _) => Some(format!(
                "the bucket is in region {region}, not {asked_region}: set the region"
            )),
            ("PermanentRedirect" | "TemporaryRedirect" | "Redirect", None, Some(endpoint)) => Some(
                format!("the bucket answers at {endpoint}: set the endpoint"),
            ),
            ("PermanentRedirect" | "AuthorizationHeaderMalformed", None, None) => Some(format!(
                "the bucket is not in region {asked_region}, or behind another endpoint"
            )),
            ("RequestTimeTooSkewed", ..) => Some(
                "the clock of this machine is wrong by more than the server accepts".to_owned(),
            ),
            ("ExpiredToken" | "TokenRefreshRequired", ..) => Some(
                "the session token is over: get new keys, or name a profile whose keys are renewed"
                    .to_owned(),
            ),
            ("InvalidObjectState", ..) => {
                Some("the object is archived: restore it before reading it".to_owned())
            }
            _ => None,
        }
    }
}

/// One line without control characters, not too long.
fn printable(text: &str) -> String {
    let visible = text.trim().chars().filter(|c| !c.is_control());
    visible.take(MESSAGE_CHARS_MAX).collect()
}

fn by_code(code: &str) -> Option<ErrorKind> {
    Some(match code {
        "NoSuchKey" | "NoSuchUpload" | "NoSuchVersion" | "NotFound" => ErrorKind::NotFound,
        "NoSuchBucket" => ErrorKind::NoBucket,
        "PreconditionFailed" | "ConditionalRequestConflict" => ErrorKind::Precondition,
        "InvalidRange" => ErrorKind::Range,
        "AccessDenied" | "AllAccessDisabled" | "AccountProblem" | "UnauthorizedAccess" => {
            ErrorKind::Forbidden
        }
        "InvalidAccessKeyId"
        | "SignatureDoesNotMatch"
        | "ExpiredToken"
        | "InvalidToken"
        | "TokenRefreshRequired"
        | "InvalidSecurity"
        | "MissingAuthenticationToken"
        | "CredentialsNotSupported" => ErrorKind::Unauthorized,
        "NotImplemented" | "MethodNotAllowed" => ErrorKind::Unsupported,
        "InvalidObjectState" => ErrorKind::Archived,
        "EntityTooLarge"
        | "MetadataTooLarge"
        | "MaxMessageLengthExceeded"
        | "RequestHeaderSectionTooLarge" => ErrorKind::TooLarge,
        // Ceph, Backblaze B2, MinIO, in this order.
        "QuotaExceeded"
        | "StorageCapExceeded"
        | "TransactionCapExceeded"
        | "XMinioStorageFull"
        | "XMinioAdminBucketQuotaExceeded" => ErrorKind::Quota,
        "SlowDown"
        | "SlowDownRead"
        | "SlowDownWrite"
        | "TooManyRequests"
        | "TooManyRequestsException"
        | "Throttling"
        | "ThrottlingException"
        | "ThrottledException"
        | "RequestThrottled"
        | "RequestThrottledException"
        | "RequestLimitExceeded"
        | "LimitExceededException"
        | "BandwidthLimitExceeded"
        | "PriorRequestNotComplete" => ErrorKind::Throttled,
        "RequestTimeout" => ErrorKind::TimedOut,
        // "A conflicting operation is in progress. Try again."
        "InternalError" | "ServiceUnavailable" | "OperationAborted" => ErrorKind::Server,
        "RequestTimeTooSkewed"
        | "PermanentRedirect"
        | "TemporaryRedirect"
        | "Redirect"
        | "AuthorizationHeaderMalformed"
        | "KeyTooLongError"
        // MinIO, where an object is in the way of a folder, or the other way round (409, which is no condition).
        | "XMinioParentIsObject"
        | "XMinioObjectExistsAsDirectory" => ErrorKind::InvalidRequest,
        _ => return None,
    })
}

fn by_status(status: StatusCode) -> ErrorKind {
    match status.as_u16() {
        401 => ErrorKind::Unauthorized,
        403 => ErrorKind::Forbidden,
        404 => ErrorKind::NotFound,
        405 | 501 => ErrorKind::Unsupported,
        408 => ErrorKind::TimedOut,
        409 | 412 => ErrorKind::Precondition,
        413 => ErrorKind::TooLarge,
        416 => ErrorKind::Range,
        429 => ErrorKind::Throttled,
        507 => ErrorKind::Quota,
        200..=299 | 500..=599 => ErrorKind::Server,
        _ => ErrorKind::InvalidRequest,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(code: &str) -> Refusal {
        Refusal {
            code: code.to_owned(),
            ..Refusal::default()
        }
    }

    #[test]
    fn codes_and_statuses() {
        use ErrorKind as K;
        for (status, code, expected) in [
            (404, "NoSuchKey", K::NotFound),
            (404, "NoSuchBucket", K::NoBucket),
            (404, "", K::NotFound),
            (412, "PreconditionFailed", K::Precondition),
            (409, "ConditionalRequestConflict", K::Precondition),
            (409, "OperationAborted", K::Server),
            (416, "InvalidRange", K::Range),
            (403, "AccessDenied", K::Forbidden),
            (403, "", K::Forbidden),
            (403, "InvalidAccessKeyId", K::Unauthorized),
            (403, "SignatureDoesNotMatch", K::Unauthorized),
            (400, "ExpiredToken", K::Unauthorized),
            (401, "", K::Unauthorized),
            (403, "RequestTimeTooSkewed", K::InvalidRequest),
            (403, "InvalidObjectState", K::Archived),
            (403, "RequestThrottled", K::Throttled),
            (400, "ThrottlingException", K::Throttled),
            (409, "XMinioObjectExistsAsDirectory", K::InvalidRequest),
            (403, "StorageCapExceeded", K::Quota),
            (403, "QuotaExceeded", K::Quota),
            (507, "", K::Quota),
            (503, "SlowDown", K::Throttled),
            (429, "", K::Throttled),
            (503, "", K::Server),
            (500, "InternalError", K::Server),
            (502, "", K::Server),
            (504, "", K::Server),
            (200, "SomethingNew", K::Server),
            (200, "SlowDown", K::Throttled),
            (501, "NotImplemented", K::Unsupported),
            (405, "", K::Unsupported),
            (400, "EntityTooLarge", K::TooLarge),
            (413, "", K::TooLarge),
            (400, "RequestTimeout", K::TimedOut),
            (301, "PermanentRedirect", K::InvalidRequest),
            (301, "", K::InvalidRequest),
            (400, "AuthorizationHeaderMalformed", K::InvalidRequest),
            (400, "", K::InvalidRequest),
        ] {
            let status = StatusCode::from_u16(status).unwrap();
            let kind = refusal(code).kind(status, None);
            assert_eq!(kind, expected, "{status} {code}");
        }
    }

    #[test]
    fn who_may_come_back_is_not_forbidden() {
        let wait = Some(Duration::ZERO);
        for code in ["", "AccessDenied"] {
            let kind = refusal(code).kind(StatusCode::FORBIDDEN, wait);
            assert_eq!(kind, ErrorKind::Throttled, "{code:?}");
        }
        let kind = refusal("NoSuchKey").kind(StatusCode::NOT_FOUND, wait);
        assert_eq!(kind, ErrorKind::NotFound);
        let kind = refusal("ExpiredToken").kind(StatusCode::FORBIDDEN, wait);
        assert_eq!(kind, ErrorKind::Unauthorized);
    }

    #[test]
    fn documents() {
        let xml = b"<?xml version=\"1.0\"?>\n<Error><Code>SignatureDoesNotMatch</Code><Message>It does\nnot.\
            </Message><StringToSign>hunter2</StringToSign><Region>eu-west-1</Region></Error>";
        let found = Refusal::parse(xml).unwrap();
        assert_eq!(found.code, "SignatureDoesNotMatch");
        assert_eq!(found.message, "It doesnot.");
        assert_eq!(found.region.as_deref(), Some("eu-west-1"));
        assert!(!format!("{found:?}").contains("hunter2"));
        for other in [
            &b"<html></html>"[..],
            b"",
            b"<ListBucketResult/>",
            b"gateway",
        ] {
            assert_eq!(Refusal::parse(other), None);
        }
    }

    #[test]
    fn advice_names_the_setting() {
        let mut found = refusal("AuthorizationHeaderMalformed");
        found.region = Some("eu-west-1".to_owned());
        assert!(
            found
                .advice("us-east-1")
                .unwrap()
                .contains("region eu-west-1")
        );
        found.region = Some("us-east-1".to_owned());
        assert!(
            found
                .advice("us-east-1")
                .unwrap()
                .contains("another endpoint")
        );
        let mut found = refusal("PermanentRedirect");
        found.endpoint = Some("pail.s3-eu.example".to_owned());
        assert!(
            found
                .advice("us-east-1")
                .unwrap()
                .contains("pail.s3-eu.example")
        );
        assert!(
            refusal("RequestTimeTooSkewed")
                .advice("r")
                .unwrap()
                .contains("clock")
        );
        assert_eq!(refusal("NoSuchKey").advice("r"), None);
    }
}
